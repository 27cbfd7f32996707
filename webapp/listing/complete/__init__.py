"""Completion of a query while it is typed."""
