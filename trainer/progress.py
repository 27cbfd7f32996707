"""The progress of a training on the terminal: a line for each epoch."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

import keras

from trainer.bar import REDRAW_SECONDS, bar
from trainer.options import VAL_RECALL

SHOWN = {"loss": "loss", "val_loss": "val_loss", VAL_RECALL: "recall@100"}


class Progress(keras.callbacks.Callback):
    """Writes one line per epoch; on a terminal also a bar that fills during the epoch."""

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__()
        self._stream = stream or sys.stderr
        self._bar = self._stream.isatty()
        self._epoch = 0
        self._started = 0.0
        self._drawn = 0.0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._epoch = epoch
        self._started = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        now = time.monotonic()
        if self._bar and now - self._drawn >= REDRAW_SECONDS:
            self._drawn = now
            steps = self.params.get("steps") or batch + 1
            self._stream.write(f"\r{self._head()}  {bar(batch + 1, steps)}  step {batch + 1}/{steps}\x1b[K")
            self._stream.flush()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        logs = logs or {}
        values = "".join(f"  {label} {float(logs[name]):.4f}" for name, label in SHOWN.items() if name in logs)
        line = f"{self._head()}{values}  {time.monotonic() - self._started:.1f} s"
        self._stream.write(f"\r{line}\x1b[K\n" if self._bar else f"{line}\n")
        self._stream.flush()

    def _head(self) -> str:
        epochs = self.params.get("epochs", "?")
        return f"epoch {self._epoch + 1:>{len(str(epochs))}}/{epochs}"
