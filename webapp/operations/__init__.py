"""Operations: the contents of the inbox, replays, the audit log and health checks."""
