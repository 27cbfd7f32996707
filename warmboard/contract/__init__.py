"""What crosses between the programs, and nothing else: events, entries, settings. Standard library only."""
