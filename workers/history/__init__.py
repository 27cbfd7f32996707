"""A fetched run: its curves, the roles of its metrics, and its file format."""
