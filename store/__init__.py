"""Where warm entries live: one door, `warm.put` and `warm.get`. Redis in front, the tables behind."""
