"""Backups of what no server but the database has, and of all else if wanted: one file, the same for every database."""
