"""Tracking servers as a whole: whether one is down, who waits for it, and how many processes its runs may use."""
