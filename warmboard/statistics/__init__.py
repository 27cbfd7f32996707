"""Norms, statistics and histograms of weights and gradients in NumPy, for training loops of any framework."""

from warmboard.statistics.bins import Scale
from warmboard.statistics.values import TOWERS, GradientSums, weight_edges_param, weight_norms, weight_statistics

__all__ = ["TOWERS", "GradientSums", "Scale", "weight_edges_param", "weight_norms", "weight_statistics"]
