"""Keras callbacks that log a run: `WarmboardCallback` tracks a whole run, `MetricsBundle` logs every metric of one that
is open, and each of its parts works alone.
"""

from warmboard.keras.base import MetricsCallback
from warmboard.keras.bundle import MetricsBundle
from warmboard.keras.callback import WarmboardCallback
from warmboard.keras.gradients import GradientStatistics
from warmboard.keras.losses import Losses
from warmboard.keras.optimizer import LearningRate
from warmboard.keras.sums import GraphGradientSums
from warmboard.keras.towers import Towers
from warmboard.keras.weights import WeightNorms, Weights, WeightStatistics

__all__ = [
    "GradientStatistics",
    "GraphGradientSums",
    "LearningRate",
    "Losses",
    "MetricsBundle",
    "MetricsCallback",
    "Towers",
    "WarmboardCallback",
    "WeightNorms",
    "WeightStatistics",
    "Weights",
]
