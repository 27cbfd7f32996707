"""The contract between the programs: events, entries, settings. It imports the standard library only."""
