"""Statistics of the gradients of every step, gathered inside the training graph: no gradient reaches the host."""

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
    """What the optimizer received during the epoch, over every step and every value of a tower's gradient.

    ``_mean``, ``_std`` (population), ``_min`` and ``_max`` of all finite values; ``_hist_bin_0`` … ``_24`` with edges
    fixed for the run (`statistics.bins`); ``_hist_underflow``, ``_hist_overflow`` and ``_nonfinite`` count the rest.
    ``_norm`` is the mean over the steps of the L2 norm of the tower's whole gradient; NaN or infinite as soon as one
    value is.

    A step is one call of the optimizer's ``apply``, and its gradients are those that arrive there: before clipping,
    without the scale of mixed precision, each batch's own where gradients are accumulated. A step that mixed precision
    skips does not count. An embedding's gradient has only the rows that were looked up, one for each look-up: rows left
    alone don't count, and a row looked up twice in a batch counts twice. Under ``tf.distribute.MirroredStrategy`` a
    step's gradient is what the optimizer applies: the sum over the replicas, of an embedding the rows of all; so the
    statistics are those of one device with the same global batch.

    Works with any Keras 3 model on TensorFlow that trains through ``fit``, compiled by XLA or not, with a training step
    of its own or not. Optimizers are the model's ``optimizer`` and all of its attributes that are optimizers. Where two
    of them share a tower, each of their calls counts as a step.
    """

    def __init__(self, log: Log, towers: Towers | None = None, scale: Scale = "symlog") -> None:
        super().__init__(log)
        self.towers = towers or Towers()
        # Made here, eagerly: inside the traced function no variable can be made.
        self._sums = GraphGradientSums(scale)
        self._watched: list[tuple[Any, Any]] = []

    def begin(self) -> None:
        """Keras traces the training step at the first batch: now is the last moment to get in between."""
        # A fit that failed has ended without a word.
        self._let_go()
        if _gathers(self.model):
            self._sums.jit_compile = bool(self.model.jit_compile)
            for optimizer in _optimizers(self.model):
                self._watch(optimizer)
            self._retrace()

    def params_to_log(self) -> dict[str, object]:
        return dict(self._sums.params())

    def begin_epoch(self) -> None:
        self._sums.reset()

    def values(self, epoch: int, logs: Mapping[str, Any]) -> Values:
        return self._sums.values()

    def end(self) -> Values:
        """Lets go of the optimizers, so that later training is as it was."""
        self._let_go()
        self._retrace()
        return {}

    def _let_go(self) -> None:
        for optimizer, watching in self._watched:
            _take_out(optimizer, watching)
        self._watched = []

    def _watch(self, optimizer: Any) -> None:
        @functools.wraps(optimizer.apply)
        def watch_and_apply(grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> Any:
            # Lists: either may be an iterator, which we must not use up.
            grads = list(grads)
            variables = None if trainable_variables is None else list(trainable_variables)
            if self._watched:
                self._add(grads, optimizer._trainable_variables if variables is None else variables)
            return watch_and_apply.__wrapped__(grads, variables)

        optimizer.apply = watch_and_apply
        self._watched.append((optimizer, watch_and_apply))

    def _retrace(self) -> None:
        """A step that was traced before knows nothing of the change."""
        if self.model.train_function is not None:
            self.model.train_function = None
            self.model.make_train_function()

    def _add(self, grads: Sequence[Any], variables: Sequence[Any]) -> None:
        part = self.attempt(self._summarise, grads, variables)
        if part:
            # Not the whole of it in one attempt: what replicas do together must not end early in one of them.
            once_a_step(functools.partial(self.attempt, self._sums.fold), part)

    def _summarise(self, grads: Sequence[Any], variables: Sequence[Any]) -> Any:
        members = self.towers.members(self.model, variables)
        return self._sums.summarise(
            {tower: [grads[position] for position in positions] for tower, positions in members.items()}
        )


def _take_out(optimizer: Any, watching: Any) -> None:
    """Takes a wrapper of ``apply`` out, wherever it stands among those of others."""
    outer, found = None, vars(optimizer).get("apply")
    while found is not None and found is not watching:
        outer, found = found, getattr(found, "__wrapped__", None)
    if found is None:
        return
    if outer is None:
        optimizer.apply = watching.__wrapped__
    else:
        outer.__wrapped__ = watching.__wrapped__
    if vars(optimizer)["apply"] == type(optimizer).apply.__get__(optimizer):
        vars(optimizer).pop("apply")


def _optimizers(model: Any) -> Iterator[Any]:
    """Those that learn; mixed precision wraps them, and the inner one gets the gradients without the loss's scale."""
    seen: set[int] = set()
    for value in [getattr(model, "optimizer", None), *vars(model).values()]:
        optimizer = inner(value)
        if isinstance(optimizer, keras.optimizers.Optimizer) and id(optimizer) not in seen:
            seen.add(id(optimizer))
            yield optimizer


def _gathers(model: Any) -> bool:
    """Whether the gradients of all replicas can be had; says so where they can't."""
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
