"""Warming one run: claim, fetch, sample, store."""
