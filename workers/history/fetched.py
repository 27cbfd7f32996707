"""A fetched run: what the tracking server told, one curve a metric. Pure; no input or output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Values = NDArray[np.float64]
Point = tuple[int, int, float]
"""Step, timestamp, value."""

MLFLOW_INFINITY = np.finfo(np.float64).max
"""MLflow's databases keep ±∞ as the largest float64."""


@dataclass(frozen=True)
class Curve:
    """One metric's history: ``steps`` ascending and unique, ``values`` (maybe not finite), and ``timestamps`` in
    milliseconds since 1970 (UTC). ``repeated`` counts the points that gave way to a later one of the same step.
    """

    steps: Indices
    values: Values
    timestamps: Indices
    repeated: int = 0

    @classmethod
    def of(cls, steps: Indices, values: Values, timestamps: Indices) -> Curve:
        """Points in any order → one value a step: of points that share a step the last by timestamp, and the greatest
        of those that share that too, where NaN counts as 0: MLflow's own rule for its latest metrics. A point that is
        there twice, since it moved to the next page while pages were read, counts once.
        """
        if not (np.abs(values) < MLFLOW_INFINITY).all():
            values = np.where(np.abs(values) >= MLFLOW_INFINITY, np.copysign(np.inf, values), values)
        if (steps[1:] > steps[:-1]).all():
            return cls(steps, values, timestamps)
        rank = np.where(np.isnan(values), 0.0, values)
        order = np.lexsort((np.isnan(values), rank, timestamps, steps))
        steps, rank, values, timestamps = steps[order], rank[order], values[order], timestamps[order]
        last = np.append(steps[1:] != steps[:-1], True)
        columns = (steps, timestamps, rank, np.isnan(values))
        same = np.logical_and.reduce([column[1:] == column[:-1] for column in columns])
        return cls(steps[last], values[last], timestamps[last], len(steps) - int(last.sum()) - int(same.sum()))

    def last(self) -> Point:
        """The point of the highest step, as MLflow tells it of a run's latest metrics."""
        return int(self.steps[-1]), int(self.timestamps[-1]), float(self.values[-1])


LONGEST_NAME = 500
"""What the store's tables take."""


@dataclass(frozen=True)
class FetchedRun:
    """One run as the tracking server has it. Times are aware datetimes in UTC."""

    run_id: str
    experiment_name: str
    name: str
    status: str
    start_time: datetime | None
    end_time: datetime | None
    params: Mapping[str, str] = field(repr=False)
    tags: Mapping[str, str] = field(repr=False)
    curves: Mapping[str, Curve] = field(repr=False)

    def printable(self) -> FetchedRun:
        """As every database takes it: some MLflow servers keep what PostgreSQL does not."""
        return replace(
            self,
            experiment_name=_printable(self.experiment_name)[:LONGEST_NAME],
            name=_printable(self.name)[:LONGEST_NAME],
            params={_printable(key): _printable(value) for key, value in self.params.items()},
            tags={_printable(key): _printable(value) for key, value in self.tags.items()},
            curves={_printable(key): curve for key, curve in self.curves.items()},
        )


def _printable(text: str) -> str:
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def moment(milliseconds: Any) -> datetime | None:
    """A time as MLflow gives it. None for no time, and for one beyond the calendar: some client took another unit."""
    try:
        return datetime.fromtimestamp(int(milliseconds) / 1000, UTC) if milliseconds else None
    except (ValueError, OverflowError, OSError):
        return None
