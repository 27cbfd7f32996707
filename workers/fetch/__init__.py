"""Reads a run from its tracking server."""
