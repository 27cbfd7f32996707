"""Benchmarks: Warmboard and what it replaces, measured side by side in one run on one machine."""
