"""Norms, moments and histograms in NumPy, for any training loop."""
