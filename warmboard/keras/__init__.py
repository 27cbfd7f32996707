"""Keras callbacks. `WarmboardCallback` tracks a whole run in one line. `MetricsBundle` logs all metrics to an open run;
each of its parts can be used alone.
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
