"""Sample a fetched run and build the documents that the webapp serves."""
