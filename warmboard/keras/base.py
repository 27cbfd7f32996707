"""The base class of the callbacks that log values at the end of every epoch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import keras

from warmboard.tracking import Fits, Log

Values = dict[str, float]


T = TypeVar("T")

logger = logging.getLogger(__name__)


class MetricsCallback(keras.callbacks.Callback):
    """Logs ``values()`` after every epoch and ``params_to_log()`` before training. Subclasses override these.

    An exception in a subclass's method never ends the training: it is logged once, with the class's name, and the
    values are missing. The step is Keras's epoch. If a second ``fit`` starts at epoch 0 again, its steps continue after
    those of the first, and parameters keep the values of the first. This holds for all callbacks of one ``log`` that
    has an attribute ``fits`` (`warmboard.tracking.Fits`), as a tracked run has.
    """

    def __init__(self, log: Log) -> None:
        super().__init__()
        self.log = log
        kept = getattr(log, "fits", None)
        self.fits = kept if isinstance(kept, Fits) else Fits()
        self._offset: int | None = None
        self._failed = False

    def begin(self) -> None:
        """Called when ``fit`` starts; ``self.model`` is set."""

    def params_to_log(self) -> dict[str, object]:
        """Return the parameters to log when training starts."""
        return {}

    def begin_epoch(self) -> None:
        """Called when an epoch starts."""

    def values(self, epoch: int, logs: Mapping[str, Any]) -> Values:
        """Return the values of the epoch that has just ended; ``logs`` are Keras's own."""
        raise NotImplementedError

    def end(self) -> Values:
        """Called when ``fit`` ends. Return the values to log at its last step."""
        return {}

    def attempt(self, part: Callable[..., T], *arguments: Any) -> T | None:
        """Call ``part`` and return its result. If it raises, log that once and return None."""
        try:
            return part(*arguments)
        except Exception:
            if not self._failed:
                self._failed = True
                logger.exception("%s failed; training goes on without its values.", type(self).__name__)
            return None

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self._offset = None
        self.attempt(self.begin)
        self.attempt(lambda: self.log_new(self.params_to_log()))

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self._offset is None:
            self._offset = max(0, self.fits.next_step - epoch)
        self.attempt(self.begin_epoch)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        step = epoch + (self._offset or 0)
        self.fits.next_step = step + 1
        self._log_values(self.attempt(self.values, step, logs or {}), step)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        self._log_values(self.attempt(self.end), self.fits.next_step - 1)

    def _log_values(self, values: Values | None, step: int) -> None:
        if values:
            self.attempt(self.log.log_metrics, values, step)

    def log_new(self, params: Mapping[str, object]) -> None:
        """Log the parameters that the run does not have yet."""
        logged = self.fits.params
        kept = {key: value for key, value in params.items() if logged.get(key, value) != value}
        if kept:
            logger.info("Parameters keep the values of the first fit. Not logged: %s", kept)
        new = {key: value for key, value in params.items() if key not in logged}
        if new:
            logged |= new
            self.log.log_params(new)
