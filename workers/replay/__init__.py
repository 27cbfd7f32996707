"""Replay: warms runs again from their past events."""
