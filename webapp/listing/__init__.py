"""The list of runs: its query language, its order, its pages, and how it looks."""
