"""An MLflow server with one more route: a run's whole metric history in one response."""
