"""All metric callbacks as one, with one call to log an epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from warmboard.keras.base import MetricsCallback, Values
from warmboard.keras.gradients import GradientStatistics
from warmboard.keras.losses import Losses
from warmboard.keras.optimizer import LearningRate
from warmboard.keras.towers import Towers
from warmboard.keras.weights import Weights
from warmboard.statistics.bins import Scale
from warmboard.tracking import Log


class MetricsBundle(MetricsCallback):
    """Logs losses, weight norms, weight statistics and gradient statistics, with one ``log_metrics`` call per epoch.

    It also logs the parameters ``epochs``, ``optimizer`` and ``learning_rate`` that Keras knows, and a learning rate
    that changes as a metric. ``log`` is a run, or any `warmboard.tracking.Log`. ``towers`` says which layers are the
    towers (see `Towers`). ``gradient_scale`` selects the bins of gradients: ``symlog`` (logarithmic on both sides of
    zero, between 1e-7 and 1) or ``linear`` (25 bins of equal width on [-1, 1]). ``params`` are more parameters to log;
    they replace Keras's.
    """

    def __init__(
        self,
        log: Log,
        *,
        towers: Towers | None = None,
        gradient_scale: Scale = "symlog",
        params: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(log)
        towers = towers or Towers()
        self._extra_params = dict(params or {})
        self._parts: list[MetricsCallback] = [
            Losses(log),
            LearningRate(log),
            Weights(log, towers),
            GradientStatistics(log, towers, gradient_scale),
        ]

    def set_params(self, params: dict[str, Any]) -> None:
        super().set_params(params)
        for part in self._parts:
            part.set_params(params)

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        for part in self._parts:
            part.set_model(model)

    def begin(self) -> None:
        for part in self._parts:
            part.attempt(part.begin)

    def params_to_log(self) -> dict[str, object]:
        params: dict[str, object] = {"epochs": (self.params or {}).get("epochs")}
        for part in self._parts:
            params |= part.attempt(part.params_to_log) or {}
        return {key: value for key, value in (params | self._extra_params).items() if value is not None}

    def begin_epoch(self) -> None:
        for part in self._parts:
            part.attempt(part.begin_epoch)

    def values(self, epoch: int, logs: Mapping[str, Any]) -> Values:
        values: Values = {}
        for part in self._parts:
            values |= part.attempt(part.values, epoch, logs) or {}
        return values

    def end(self) -> Values:
        values: Values = {}
        for part in self._parts:
            values |= part.attempt(part.end) or {}
        return values
