"""Samples a fetched run and builds the documents that the webapp serves."""
