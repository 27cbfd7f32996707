"""Norms, statistics and histograms of the weights, as they are at the end of an epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from trainer.buffer import Log
from trainer.callbacks import bins
from trainer.callbacks.base import MetricsCallback, Values
from trainer.callbacks.towers import Towers

Weights = npt.NDArray[np.float32]


class WeightNorms(MetricsCallback):
    """``weight_norm``: L2 norm of all trainable weights together; ``{tower}_weight_norm``: of the tower's."""

    def __init__(self, log: Log, towers: Towers | None = None) -> None:
        super().__init__(log)
        self.towers = towers or Towers()

    def values(self, epoch: int, logs: Mapping[str, Any]) -> Values:
        values = {"weight_norm": _norm(self.model.trainable_variables)}
        for tower, variables in self.towers.variables(self.model).items():
            if variables:
                values[f"{tower}_weight_norm"] = _norm(variables)
        return values


class WeightStatistics(MetricsCallback):
    """Mean, population standard deviation, least, greatest and a histogram of each tower's weights.

    The 25 bins are of equal width from this epoch's least weight to its greatest, so the logged minimum and maximum
    give every epoch's edges; ``{tower}_hist_bin_edges`` holds those of the first. Weights that are not finite are left
    out and counted in ``{tower}_weights_nonfinite``.
    """

    def __init__(self, log: Log, towers: Towers | None = None) -> None:
        super().__init__(log)
        self.towers = towers or Towers()
        self._edges_logged: set[str] = set()

    def values(self, epoch: int, logs: Mapping[str, Any]) -> Values:
        values: Values = {}
        for tower, variables in self.towers.variables(self.model).items():
            if variables:
                weights = np.concatenate([variable.numpy().ravel() for variable in variables])
                values |= statistics(tower, weights)
                self._log_edges(tower, values)
        return values

    def _log_edges(self, tower: str, values: Values) -> None:
        low, high = values[f"{tower}_weights_min"], values[f"{tower}_weights_max"]
        if tower not in self._edges_logged and np.isfinite(low):
            self._edges_logged.add(tower)
            self.log.log_params({f"{tower}_hist_bin_edges": bins.text(bins.weight_edges(low, high))})


def statistics(tower: str, weights: Weights) -> Values:
    """The values that `WeightStatistics` logs for these weights of shape ``(n,)``; NaN where none is finite."""
    finite = weights[np.isfinite(weights)].astype(np.float64)
    if finite.size:
        low, high = float(finite.min()), float(finite.max())
        mean, std = float(finite.mean()), float(finite.std())
    else:
        low = high = mean = std = float("nan")
    values = {
        f"{tower}_weights_mean": mean,
        f"{tower}_weights_std": std,
        f"{tower}_weights_min": low,
        f"{tower}_weights_max": high,
        f"{tower}_weights_nonfinite": float(weights.size - finite.size),
    }
    counts = _counts(finite, low, high)
    return values | {f"{tower}_hist_bin_{index}": float(count) for index, count in enumerate(counts)}


def _counts(finite: npt.NDArray[np.float64], low: float, high: float) -> npt.NDArray[np.int64]:
    if low < high:
        return np.histogram(finite, bins=bins.BINS, range=(low, high))[0]
    # All weights are equal, as zeros at the start are: bins without width, of which the first takes them.
    counts = np.zeros(bins.BINS, dtype=np.int64)
    counts[0] = finite.size
    return counts


def _norm(variables: list[Any]) -> float:
    # float64: a sum of many small squares loses digits in float32.
    squares = (float(np.sum(np.square(variable.numpy().astype(np.float64)))) for variable in variables)
    return float(np.sqrt(sum(squares)))
