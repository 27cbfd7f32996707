"""What the optimizer is, and how fast it learns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from warmboard.keras.base import MetricsCallback, Values
from warmboard.tracking import Log

# MLflow takes 6,000 characters; nobody reads more than a line.
LONGEST = 500


class LearningRate(MetricsCallback):
    """The parameters ``optimizer``, ``learning_rate`` (at the beginning) and, where one is followed,
    ``learning_rate_schedule``; and the metric ``learning_rate``, at the end of each epoch, where it isn't constant.

    It isn't where the optimizer has a schedule, and from the epoch on in which anything else has changed it.
    """

    def __init__(self, log: Log) -> None:
        super().__init__(log)
        self._logged_rate: object = None

    def params_to_log(self) -> dict[str, object]:
        optimizer = inner(getattr(self.model, "optimizer", None))
        if optimizer is None:
            return {}
        # The class names it: its own name may be numbered, as in adam_1.
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
        # As the parameter: that of the first fit.
        self._logged_rate = self._logged_rate or self.params_to_log().get("learning_rate")


def inner(optimizer: Any) -> Any:
    """The one that learns: mixed precision wraps it."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def _rate(optimizer: Any) -> float:
    rate = optimizer.learning_rate
    # Under a strategy it is a variable on several devices, of which float() knows nothing.
    return float(rate.numpy() if hasattr(rate, "numpy") else rate)


def _text(optimizer: Any) -> str:
    # Seven digits: Keras keeps it in float32.
    return f"{_rate(optimizer):.7g}"


def _schedule(optimizer: Any) -> Any:
    """The schedule or function that the rate follows, or None. The attribute has no public counterpart."""
    rate = optimizer._learning_rate
    return rate if callable(rate) else None


def _described(schedule: Any) -> str:
    if not isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        return getattr(schedule, "__name__", type(schedule).__name__)
    options = ", ".join(f"{key}={value}" for key, value in schedule.get_config().items() if value is not None)
    return f"{type(schedule).__name__}({options})"[:LONGEST]
