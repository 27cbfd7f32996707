"""Losses, and whatever else Keras reports."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from trainer.buffer import Log
from trainer.callbacks.base import MetricsCallback, Values

logger = logging.getLogger(__name__)


class Losses(MetricsCallback):
    """Every number Keras reports for the epoch, under its own name; at the end, ``final_loss`` and ``final_val_loss``.

    The final ones are those of the last epoch, logged at its step.
    """

    _last: tuple[int, Values] | None = None

    def __init__(self, log: Log) -> None:
        super().__init__(log)
        self._left_out: set[str] = set()

    def values(self, epoch: int, logs: Mapping[str, Any]) -> Values:
        scalars = {name for name, value in logs.items() if np.ndim(value) == 0}
        if left_out := logs.keys() - scalars - self._left_out:
            self._left_out |= left_out
            logger.warning("Left out, because they are no single numbers: %s", ", ".join(sorted(left_out)))
        values = {name: float(logs[name]) for name in logs if name in scalars}
        self._last = epoch, values
        return values

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        if self._last is None:
            return
        epoch, values = self._last
        final = {f"final_{name}": values[name] for name in ("loss", "val_loss") if name in values}
        if final:
            self.log.log_metrics(final, step=epoch)
