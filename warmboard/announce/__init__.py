"""Tells Warmboard about a run: `mlflow_info.json` and run events."""
