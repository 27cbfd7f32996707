"""Values wait here between the training and MLflow: in memory, then in a file."""
