"""``make chaos``: break every part at random while runs end, and see whether each becomes warm unaided."""
