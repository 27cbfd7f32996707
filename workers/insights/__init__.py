"""What a run's curves say, in words."""
