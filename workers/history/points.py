"""All points of a metric, and its summary. Pure; no input or output."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from warmboard.contract.entries import Number, PointSummary, Summary

Indices = NDArray[np.int64]
Values = NDArray[np.float64]
Point = tuple[int, int, float]
"""Step, timestamp, value."""

MLFLOW_INFINITY = np.finfo(np.float64).max
"""MLflow's databases store ±∞ as the largest float64."""
_NONE = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Points:
    """All points of one metric, as three arrays of the same length.

    Sorted by step, timestamp (milliseconds since 1970, UTC) and value, where NaN counts as 0: so MLflow ranks them, and
    its latest value is the last one. Values may be NaN or ±∞. No point is there twice.
    """

    steps: Indices
    values: Values
    timestamps: Indices

    @classmethod
    def of(cls, steps: Indices, values: Values, timestamps: Indices) -> Self:
        """Sort points in any order. Identical points count once: a point is read twice if it moves to the next page
        between two requests.
        """
        if not (np.abs(values) < MLFLOW_INFINITY).all():
            values = np.where(np.abs(values) >= MLFLOW_INFINITY, np.copysign(np.inf, values), values)
        if (steps[1:] > steps[:-1]).all():
            return cls(steps, values, timestamps)
        rank = np.where(np.isnan(values), 0.0, values)
        order = np.lexsort((np.isnan(values), rank, timestamps, steps))
        columns = (steps[order], timestamps[order], rank[order], np.isnan(values)[order])
        same = np.logical_and.reduce([column[1:] == column[:-1] for column in columns])
        chosen = order[np.append(True, ~same)]
        return cls(steps[chosen], values[chosen], timestamps[chosen])

    def __len__(self) -> int:
        return len(self.steps)

    def at(self, positions: NDArray[np.int64] | NDArray[np.bool_]) -> Points:
        return Points(self.steps[positions], self.values[positions], self.timestamps[positions])

    def before(self, step: int) -> Points:
        return self.at(np.arange(int(np.searchsorted(self.steps, step))))

    def since(self, step: int) -> Points:
        return self.at(np.arange(int(np.searchsorted(self.steps, step)), len(self)))

    @property
    def repeat(self) -> bool:
        """Whether a step has several points."""
        return bool((self.steps[1:] == self.steps[:-1]).any())

    def last(self) -> Point:
        """The point that MLflow gives as the metric's latest."""
        return int(self.steps[-1]), int(self.timestamps[-1]), float(self.values[-1])

    def summary(self) -> Summary:
        """The numbers of this metric that pages, lists and files show. There must be at least one point."""
        odd = non_finite(self.values)
        low = high = None
        if len(odd) < len(self):
            low, high = int(self._filled(odd, np.inf).argmin()), int(self._filled(odd, -np.inf).argmax())
        unknown = self.values[odd]
        infinity, minus_infinity = (int(np.count_nonzero(unknown == limit)) for limit in (np.inf, -np.inf))
        return {
            "count": len(self),
            "first": self._point(0),
            "last": self._point(len(self) - 1),
            "min": None if low is None else self._point(low),
            "max": None if high is None else self._point(high),
            "nan": len(unknown) - infinity - minus_infinity,
            "infinity": infinity,
            "minus_infinity": minus_infinity,
        }

    def _filled(self, positions: Indices, value: float) -> Values:
        """The values with another one at some positions."""
        if not len(positions):
            return self.values
        values = self.values.copy()
        values[positions] = value
        return values

    def _point(self, position: int) -> PointSummary:
        return {
            "value": number(float(self.values[position])),
            "step": int(self.steps[position]),
            "time": int(self.timestamps[position]),
        }


def non_finite(values: Values) -> Indices:
    """The positions of NaN and ±∞. Most metrics have none, which is found in one pass."""
    finite = np.isfinite(values)
    return _NONE if finite.all() else np.flatnonzero(~finite)


def number(value: float) -> Number:
    """The value as strict JSON has it: NaN and ±∞ become words."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def latest_points(metrics: Iterable[Mapping[str, Any]]) -> dict[str, Point]:
    """The latest point of each metric, by key, from MLflow's description of a run."""
    return {metric["key"]: _latest(metric) for metric in metrics}


def _latest(metric: Mapping[str, Any]) -> Point:
    value = float(metric["value"])
    value = math.copysign(math.inf, value) if abs(value) >= MLFLOW_INFINITY else value
    return int(metric.get("step", 0)), int(metric["timestamp"]), value
