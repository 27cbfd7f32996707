"""Finds runs that no event announced, in MLflow and in Cloud Storage."""
