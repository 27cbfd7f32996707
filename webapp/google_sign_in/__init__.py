"""Signing in with Google, where it is configured: an account for whoever is of a domain that may."""
