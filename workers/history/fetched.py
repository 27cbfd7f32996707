"""A fetched run: the tracking server's data, with one curve per metric. Pure; no input or output."""

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
"""MLflow's databases store ±∞ as the largest float64."""


@dataclass(frozen=True)
class Curve:
    """One metric's history, as three arrays of the same length.

    ``steps`` are ascending and unique. ``values`` may be NaN or ±∞. ``timestamps`` are in milliseconds since 1970
    (UTC). ``repeated`` is the number of points dropped for another of the same step.
    """

    steps: Indices
    values: Values
    timestamps: Indices
    repeated: int = 0

    @classmethod
    def of(cls, steps: Indices, values: Values, timestamps: Indices) -> Curve:
        """Make a curve of points in any order, with one value per step.

        Of points that share a step, the one with the latest timestamp wins; of those that share both, the one with the
        max value, where NaN counts as 0. This is MLflow's own rule for its latest metrics. An identical point does not
        count as repeated: a point is read twice if it moves to the next page between two requests.
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
        """The point of the highest step: the one that MLflow gives as the metric's latest."""
        return int(self.steps[-1]), int(self.timestamps[-1]), float(self.values[-1])


LONGEST_NAME = 500
"""In characters: the limit of the store's columns."""


@dataclass(frozen=True)
class FetchedRun:
    """One run as the tracking server has it. Times are timezone-aware, in UTC."""

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
        """A copy that every database can store: without NUL characters, which PostgreSQL rejects, and names cut off."""
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
    """Convert MLflow's milliseconds. None without a time, or beyond the calendar: a client used another unit."""
    try:
        return datetime.fromtimestamp(int(milliseconds) / 1000, UTC) if milliseconds else None
    except (ValueError, OverflowError, OSError):
        return None
