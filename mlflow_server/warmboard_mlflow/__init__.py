"""MLflow's server with one more route: a run's whole metric history by one query, in one response."""
