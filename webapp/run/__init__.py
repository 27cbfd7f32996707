"""A run's page and its JSON API."""
