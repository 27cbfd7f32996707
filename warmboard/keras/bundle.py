"""All of the callbacks as one, which logs an epoch at once."""

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
    """Losses, weight norms, weight statistics and gradient statistics: for each epoch, one call of ``log_metrics``.

    Also logs the parameters ``epochs``, ``optimizer`` and ``learning_rate``, as Keras knows them, and those in
    ``params``, which win; a learning rate that changes is a metric besides. ``towers`` says which layers the towers are
    (see `Towers`), ``gradient_scale`` which bins the gradients get: ``symlog`` or ``linear``.
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
