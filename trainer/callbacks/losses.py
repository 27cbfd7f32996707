"""Losses, and whatever else Keras reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainer.callbacks.base import MetricsCallback, Values


class Losses(MetricsCallback):
    """Every number Keras reports for the epoch, under its own name; at the end, ``final_loss`` and ``final_val_loss``.

    The final ones are those of the last epoch, logged at its step.
    """

    _last: tuple[int, Values] | None = None

    def values(self, epoch: int, logs: Mapping[str, Any]) -> Values:
        values = {name: float(value) for name, value in logs.items()}
        self._last = epoch, values
        return values

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        if self._last is None:
            return
        epoch, values = self._last
        final = {f"final_{name}": values[name] for name in ("loss", "val_loss") if name in values}
        if final:
            self.log.log_metrics(final, step=epoch)
