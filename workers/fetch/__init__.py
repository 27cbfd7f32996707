"""Fetch runs from an MLflow tracking server."""
