"""Statistics of the gradients of every step, computed inside the training graph: no gradient is copied to the host."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from warmboard.keras.base import MetricsCallback, Values
from warmboard.keras.optimizer import inner
from warmboard.keras.sums import GraphGradientSums, once_a_step
from warmboard.keras.towers import Towers
from warmboard.statistics.bins import Scale
from warmboard.tracking import Log

logger = logging.getLogger(__name__)


class GradientStatistics(MetricsCallback):
    """Logs statistics of the gradients that the optimizer got during an epoch: every step, every value of a tower.

    ``{tower}_grad_mean``, ``_std`` (population), ``_min`` and ``_max`` are of all finite values. ``_hist_bin_0`` …
    ``_24`` have edges that are fixed for the run (`warmboard.statistics.bins`); ``_hist_underflow``, ``_hist_overflow``
    and ``_nonfinite`` count the rest. ``_norm`` is the mean, over the steps, of the L2 norm of the tower's whole
    gradient. It is NaN or infinite if one value is.

    A step is one call of the optimizer's ``apply``. Its gradients are those that ``apply`` gets: before clipping,
    without the loss scale of mixed precision, and of each batch if gradients are accumulated. A step that mixed
    precision skips does not count. The gradient of an embedding has only the rows that were looked up, one per look-up:
    other rows don't count, and a row that is looked up twice in a batch counts twice. Under
    ``tf.distribute.MirroredStrategy``, a step's gradient is what the optimizer applies: the sum over the replicas, or,
    for an embedding, the rows of all replicas. So the statistics are those of one device with the same global batch.

    Works with any Keras 3 model on TensorFlow that trains by ``fit``, with or without XLA, and with or without its own
    ``train_step``. The optimizers are the model's ``optimizer`` and all its attributes that are optimizers. If two of
    them share a tower, each call counts as a step.
    """

    def __init__(self, log: Log, towers: Towers | None = None, scale: Scale = "symlog") -> None:
        super().__init__(log)
        self.towers = towers or Towers()
        # Created eagerly, because no variable can be created inside a traced function.
        self._sums = GraphGradientSums(scale)
        self._wrapped: list[tuple[Any, Any]] = []

    def begin(self) -> None:
        """Wrap the optimizers. Keras traces the training step at the first batch, so this is the last chance."""
        # An earlier fit that failed did not call `end`.
        self._unwrap()
        if _can_collect(self.model):
            self._sums.jit_compile = bool(self.model.jit_compile)
            for optimizer in _optimizers(self.model):
                self._wrap(optimizer)
            self._retrace()

    def params_to_log(self) -> dict[str, object]:
        return dict(self._sums.params())

    def begin_epoch(self) -> None:
        self._sums.reset()

    def values(self, epoch: int, logs: Mapping[str, Any]) -> Values:
        return self._sums.values()

    def end(self) -> Values:
        """Unwrap the optimizers, so that later training is as before."""
        self._unwrap()
        self._retrace()
        return {}

    def _unwrap(self) -> None:
        for optimizer, wrapper in self._wrapped:
            _remove_wrapper(optimizer, wrapper)
        self._wrapped = []

    def _wrap(self, optimizer: Any) -> None:
        @functools.wraps(optimizer.apply)
        def add_and_apply(grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> Any:
            # Lists: either may be an iterator, which must not be consumed.
            grads = list(grads)
            variables = None if trainable_variables is None else list(trainable_variables)
            if self._wrapped:
                self._add(grads, optimizer._trainable_variables if variables is None else variables)
            return add_and_apply.__wrapped__(grads, variables)

        optimizer.apply = add_and_apply
        self._wrapped.append((optimizer, add_and_apply))

    def _retrace(self) -> None:
        """Trace the training step again: one that was traced earlier ignores the change."""
        if self.model.train_function is not None:
            self.model.train_function = None
            self.model.make_train_function()

    def _add(self, grads: Sequence[Any], variables: Sequence[Any]) -> None:
        part = self.attempt(self._summarise, grads, variables)
        if part:
            # Two attempts, not one: a step that all replicas do together must not end early in one of them.
            once_a_step(functools.partial(self.attempt, self._sums.fold), part)

    def _summarise(self, grads: Sequence[Any], variables: Sequence[Any]) -> Any:
        members = self.towers.members(self.model, variables)
        return self._sums.summarise(
            {tower: [grads[position] for position in positions] for tower, positions in members.items()}
        )


def _remove_wrapper(optimizer: Any, wrapper: Any) -> None:
    """Remove a wrapper of ``apply``, even if other code has wrapped it since."""
    outer, found = None, vars(optimizer).get("apply")
    while found is not None and found is not wrapper:
        outer, found = found, getattr(found, "__wrapped__", None)
    if found is None:
        return
    if outer is None:
        optimizer.apply = wrapper.__wrapped__
    else:
        outer.__wrapped__ = wrapper.__wrapped__
    if vars(optimizer)["apply"] == type(optimizer).apply.__get__(optimizer):
        vars(optimizer).pop("apply")


def _optimizers(model: Any) -> Iterator[Any]:
    """Yield the model's optimizers. Mixed precision wraps them; the inner one gets gradients without the loss scale."""
    seen: set[int] = set()
    for value in [getattr(model, "optimizer", None), *vars(model).values()]:
        optimizer = inner(value)
        if isinstance(optimizer, keras.optimizers.Optimizer) and id(optimizer) not in seen:
            seen.add(id(optimizer))
            yield optimizer


def _can_collect(model: Any) -> bool:
    """Return True if the gradients of all replicas can be collected. Logs a warning if not."""
    strategy = model.distribute_strategy
    if strategy.num_replicas_in_sync == 1:
        return True
    if isinstance(strategy, tf.distribute.MirroredStrategy) and not model.jit_compile:
        return True
    logger.warning(
        "Gradient statistics are left out: %s%s is not supported; MirroredStrategy without jit_compile is.",
        type(strategy).__name__,
        " with jit_compile" if model.jit_compile else "",
    )
    return False
