"""Losses, and all other values that Keras reports."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from warmboard.keras.base import MetricsCallback, Values
from warmboard.tracking import Log

logger = logging.getLogger(__name__)

FINAL = ("loss", "val_loss")


class Losses(MetricsCallback):
    """Logs every number that Keras reports for an epoch, under its name; then ``final_loss`` and ``final_val_loss``.

    The final values are the last ones of the ``fit``, logged at its last step. With ``validation_freq``, the last
    validation may be some epochs earlier.
    """

    def __init__(self, log: Log) -> None:
        super().__init__(log)
        self._left_out: set[str] = set()
        self._last: Values = {}

    def begin(self) -> None:
        self._last = {}

    def values(self, epoch: int, logs: Mapping[str, Any]) -> Values:
        values = {name: number for name, value in logs.items() if (number := _number(value)) is not None}
        if left_out := logs.keys() - values.keys() - self._left_out:
            self._left_out |= left_out
            logger.warning("Left out, because they are not single numbers: %s", ", ".join(sorted(left_out)))
        self._last |= {f"final_{name}": values[name] for name in FINAL if name in values}
        return values

    def end(self) -> Values:
        return self._last


def _number(value: Any) -> float | None:
    """Return the number; None for anything but a single number."""
    try:
        return float(value) if np.ndim(value) == 0 and not isinstance(value, str) else None
    except (TypeError, ValueError):
        return None
