"""MLflow's REST API: requests, retries and tokens."""
