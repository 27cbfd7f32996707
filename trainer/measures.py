"""Extra metrics at the end of an epoch, added to Keras's own. List these callbacks before those that read them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras


class Measure(keras.callbacks.Callback):
    """Adds ``measure(model)`` to the epoch's values, under ``name``."""

    def __init__(self, name: str, measure: Callable[[Any], float]) -> None:
        super().__init__()
        self._name = name
        self._measure = measure

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is not None:
            logs[self._name] = self._measure(self.model)
