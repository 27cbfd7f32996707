"""All of the callbacks as one, which logs an epoch at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainer.buffer import Log
from trainer.callbacks.base import MetricsCallback, Values
from trainer.callbacks.bins import Scale
from trainer.callbacks.gradients import GradientStatistics
from trainer.callbacks.losses import Losses
from trainer.callbacks.towers import Towers
from trainer.callbacks.weights import WeightNorms, WeightStatistics


class WarmboardCallback(MetricsCallback):
    """Losses, weight norms, weight statistics and gradient statistics: for each epoch, one call of ``log_metrics``.

    Also logs the parameters ``epochs``, ``optimizer`` and ``learning_rate``, as Keras knows them, and those in
    ``params``, which win. ``towers`` says which layers the towers are (see `Towers`), ``gradient_scale`` which bins the
    gradients get.
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
            WeightNorms(log, towers),
            WeightStatistics(log, towers),
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

    def params_to_log(self) -> dict[str, object]:
        params: dict[str, object] = {"epochs": (self.params or {}).get("epochs")}
        optimizer = getattr(self.model, "optimizer", None)
        if optimizer is not None:
            # Mixed precision wraps the one that learns. Its class names it: its name may be numbered, as in adam_1.
            inner = getattr(optimizer, "inner_optimizer", optimizer)
            # Seven digits: Keras keeps it in float32.
            params |= {"optimizer": type(inner).__name__.lower(), "learning_rate": f"{float(inner.learning_rate):.7g}"}
        for part in self._parts:
            params |= part.params_to_log()
        return {key: value for key, value in (params | self._extra_params).items() if value is not None}

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        for part in self._parts:
            part.on_epoch_begin(epoch, logs)

    def values(self, epoch: int, logs: Mapping[str, Any]) -> Values:
        values: Values = {}
        for part in self._parts:
            values |= part.values(epoch, logs)
        return values

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        for part in self._parts:
            part.on_train_end(logs)
