"""Annotations of runs: tags, a note, pinned, archived."""
