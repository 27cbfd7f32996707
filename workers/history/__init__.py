"""A fetched run: its curves, and the file format that keeps them."""
