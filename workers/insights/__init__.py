"""Find statements about a run in its curves."""
