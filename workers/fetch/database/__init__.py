"""Reads runs from the database of an MLflow server: no HTTP, no plugin, never a write."""
