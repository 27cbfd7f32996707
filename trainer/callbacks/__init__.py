"""Keras callbacks that log a run: each usable alone, and `WarmboardCallback`, which bundles them."""

from trainer.callbacks.base import MetricsCallback
from trainer.callbacks.bundle import WarmboardCallback
from trainer.callbacks.gradients import GradientStatistics
from trainer.callbacks.losses import Losses
from trainer.callbacks.towers import Towers
from trainer.callbacks.weights import WeightNorms, WeightStatistics

__all__ = [
    "GradientStatistics",
    "Losses",
    "MetricsCallback",
    "Towers",
    "WarmboardCallback",
    "WeightNorms",
    "WeightStatistics",
]
