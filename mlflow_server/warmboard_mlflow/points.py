"""One metric's points as columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from warmboard_mlflow.head import LARGEST

Indices = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Points:
    """All points of one metric, repeats too: by step, then by timestamp, then by value. Values may be not finite."""

    key: str
    steps: Indices
    timestamps: Indices
    values: Values

    @classmethod
    def of(cls, key: str, steps: Indices, timestamps: Indices, values: Values) -> Points:
        """Points in any order, with MLflow's stand-ins for infinity."""
        if not (np.abs(values) < LARGEST).all():
            values = np.where(np.abs(values) >= LARGEST, np.copysign(np.inf, values), values)
        if not _ascending(steps):
            order = np.argsort(steps, kind="stable")
            if not _ascending(steps[order]):
                # Three times as long, and only for repeated steps.
                order = np.lexsort((values, timestamps, steps))
            steps, timestamps, values = steps[order], timestamps[order], values[order]
        return cls(key, steps, timestamps, values)

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, part: slice) -> Points:
        return Points(self.key, self.steps[part], self.timestamps[part], self.values[part])


def _ascending(steps: Indices) -> bool:
    return bool((steps[1:] > steps[:-1]).all())
