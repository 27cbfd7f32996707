"""What all of the callbacks are: something that has a few values to log at the end of every epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from trainer.buffer import Log

Values = dict[str, float]


class MetricsCallback(keras.callbacks.Callback):
    """Logs ``values()`` after every epoch and ``params()`` before training; a subclass says what they are."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self.log = log

    def values(self, epoch: int, logs: Mapping[str, Any]) -> Values:
        """The values of the epoch that ends now; ``logs`` are Keras's own."""
        raise NotImplementedError

    def params_to_log(self) -> dict[str, object]:
        """Parameters known when training begins."""
        return {}

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        params = self.params_to_log()
        if params:
            self.log.log_params(params)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self.log.log_metrics(self.values(epoch, logs or {}), step=epoch)
