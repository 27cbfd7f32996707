"""Keras callbacks that log a run: each usable alone, and `WarmboardCallback`, which bundles them."""

from trainer.callbacks.base import Fits, MetricsCallback
from trainer.callbacks.bundle import WarmboardCallback
from trainer.callbacks.gradients import GradientStatistics
from trainer.callbacks.losses import Losses
from trainer.callbacks.optimizer import LearningRate
from trainer.callbacks.sums import GraphGradientSums
from trainer.callbacks.towers import Towers
from trainer.callbacks.weights import WeightNorms, Weights, WeightStatistics

__all__ = [
    "Fits",
    "GradientStatistics",
    "GraphGradientSums",
    "LearningRate",
    "Losses",
    "MetricsCallback",
    "Towers",
    "WarmboardCallback",
    "WeightNorms",
    "WeightStatistics",
    "Weights",
]
