"""The optimizer and its learning rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from warmboard.keras.base import MetricsCallback, Values
from warmboard.tracking import Log

# MLflow accepts 6,000 characters, but a table shows one line.
LONGEST = 500


class LearningRate(MetricsCallback):
    """Logs the parameters ``optimizer``, ``learning_rate`` (the initial one) and, if there is a schedule,
    ``learning_rate_schedule``. Logs the metric ``learning_rate`` at the end of each epoch if the rate is not constant.

    The rate is not constant if the optimizer has a schedule, and from the first epoch in which other code changed it.
    """

    def __init__(self, log: Log) -> None:
        super().__init__(log)
        self._logged_rate: object = None

    def params_to_log(self) -> dict[str, object]:
        optimizer = inner(getattr(self.model, "optimizer", None))
        if optimizer is None:
            return {}
        # The name of the class: the optimizer's own may be numbered, such as adam_1.
        params: dict[str, object] = {"optimizer": type(optimizer).__name__.lower(), "learning_rate": _text(optimizer)}
        schedule = _schedule(optimizer)
        return params if schedule is None else params | {"learning_rate_schedule": _described(schedule)}

    def values(self, epoch: int, logs: Mapping[str, Any]) -> Values:
        optimizer = inner(getattr(self.model, "optimizer", None))
        if optimizer is None:
            return {}
        constant = _schedule(optimizer) is None and self._logged_rate in (None, _text(optimizer))
        return {} if constant else {"learning_rate": _rate(optimizer)}

    def begin(self) -> None:
        # That of the first fit, as the parameter is.
        self._logged_rate = self._logged_rate or self.params_to_log().get("learning_rate")


def inner(optimizer: Any) -> Any:
    """Return the optimizer that mixed precision may have wrapped."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def _rate(optimizer: Any) -> float:
    rate = optimizer.learning_rate
    # Under a distribution strategy it is a variable on several devices, which float() does not support.
    return float(rate.numpy() if hasattr(rate, "numpy") else rate)


def _text(optimizer: Any) -> str:
    # Seven digits, because Keras stores it in float32.
    return f"{_rate(optimizer):.7g}"


def _schedule(optimizer: Any) -> Any:
    """Return the schedule or function of the rate, or None. There is no public attribute for it."""
    rate = optimizer._learning_rate
    return rate if callable(rate) else None


def _described(schedule: Any) -> str:
    if not isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        return getattr(schedule, "__name__", type(schedule).__name__)
    options = ", ".join(f"{key}={value}" for key, value in schedule.get_config().items() if value is not None)
    return f"{type(schedule).__name__}({options})"[:LONGEST]
