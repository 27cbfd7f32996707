"""Operations: what stands in the inbox, and replays."""
