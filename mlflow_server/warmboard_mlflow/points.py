"""One metric's points as columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from warmboard_mlflow.linked import LARGEST

Indices = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Points:
    """All points of one metric, repeated steps included, as three arrays of the same length.

    Sorted by step, timestamp (milliseconds since 1970) and value. Values may be NaN or ±∞.
    """

    key: str
    steps: Indices
    timestamps: Indices
    values: Values

    @classmethod
    def of(cls, key: str, steps: Indices, timestamps: Indices, values: Values) -> Points:
        """Sort points in any order, and replace MLflow's substitutes for ±∞."""
        if not (np.abs(values) < LARGEST).all():
            values = np.where(np.abs(values) >= LARGEST, np.copysign(np.inf, values), values)
        if not _ascending(steps):
            order = np.argsort(steps, kind="stable")
            if not _ascending(steps[order]):
                # Three times slower, and needed only for repeated steps.
                order = np.lexsort((values, timestamps, steps))
            steps, timestamps, values = steps[order], timestamps[order], values[order]
        return cls(key, steps, timestamps, values)

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, part: slice) -> Points:
        return Points(self.key, self.steps[part], self.timestamps[part], self.values[part])


def _ascending(steps: Indices) -> bool:
    return bool((steps[1:] > steps[:-1]).all())
