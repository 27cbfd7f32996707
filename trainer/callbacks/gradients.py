"""Statistics of the gradients of every step, gathered inside the training graph: no gradient reaches the host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.buffer import Log
from trainer.callbacks import bins
from trainer.callbacks.base import MetricsCallback, Values
from trainer.callbacks.towers import NAMES, Towers


class GradientStatistics(MetricsCallback):
    """What the optimizer received during the epoch, over every step and every value of a tower's gradient.

    ``_mean``, ``_std`` (population), ``_min`` and ``_max`` of all finite values; ``_hist_bin_0`` … ``_24`` with edges
    fixed for the run (see `bins`); ``_hist_underflow``, ``_hist_overflow`` and ``_nonfinite`` count the rest.
    ``_norm`` is the mean over the steps of the L2 norm of the tower's whole gradient; NaN or infinite as soon as one
    value is.

    An embedding's gradient has only the rows that were looked up, one for each look-up: rows left alone don't count,
    and a row looked up twice in a batch counts twice. Gradients are taken as they arrive at the optimizer's ``apply``,
    before clipping, without the scale of mixed precision.

    Works with any Keras 3 model on TensorFlow that trains through ``fit``, compiled by XLA or not.
    """

    def __init__(self, log: Log, towers: Towers | None = None, scale: bins.Scale = "symlog") -> None:
        super().__init__(log)
        self.towers = towers or Towers()
        self.edges = bins.gradient_edges(scale)
        # Made here, eagerly: inside the traced function no variable can be made.
        self._accumulators = {tower: Accumulator(self.edges) for tower in NAMES}
        self._watched: Any = None

    def set_model(self, model: Any) -> None:
        """Keras calls this before it traces the training step, the last moment to get in between."""
        super().set_model(model)
        optimizer = getattr(model, "optimizer", None)
        if optimizer is None or self._watched is not None:
            return
        # Mixed precision wraps the optimizer: the inner one gets the gradients without the loss's scale.
        self._watched = getattr(optimizer, "inner_optimizer", optimizer)
        apply = self._watched.apply

        def watch_and_apply(grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> Any:
            self._watch(list(grads), trainable_variables)
            return apply(grads, trainable_variables)

        self._watched.apply = watch_and_apply
        # A step that an earlier fit() traced knows nothing of us.
        model.train_function = None

    def params_to_log(self) -> dict[str, object]:
        text = bins.text(self.edges)
        return {f"{tower}_grad_hist_bin_edges": text for tower in NAMES}

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        for accumulator in self._accumulators.values():
            accumulator.reset()

    def values(self, epoch: int, logs: Mapping[str, Any]) -> Values:
        values: Values = {}
        for tower, accumulator in self._accumulators.items():
            values |= accumulator.values(tower)
        return values

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Lets go of the optimizer, so that later training is as it was."""
        if self._watched is not None:
            # Gone already where two of us watched the same optimizer.
            vars(self._watched).pop("apply", None)
            self._watched = None
            self.model.train_function = None

    def _watch(self, grads: list[Any], variables: Sequence[Any] | None) -> None:
        if variables is None:
            variables = self._watched._trainable_variables
        for tower, positions in self.towers.members(self.model, variables).items():
            gradients = [grads[position] for position in positions if grads[position] is not None]
            if gradients:
                self._accumulators[tower].add(
                    gradients, xla=bool(self.model.jit_compile) and not tf.executing_eagerly()
                )


class Accumulator:
    """Running sums over the gradients of one tower, in variables of the graph.

    float64 throughout: sums of 10^8 small float32 numbers need it.
    """

    def __init__(self, edges: bins.Edges) -> None:
        self._edges = edges
        self._buckets = tf.Variable(np.zeros(bins.BUCKETS), trainable=False, dtype=tf.int64)
        # How many not finite, sum, sum of squares, sum of the steps' norms, number of steps.
        self._sums = tf.Variable(np.zeros(5), trainable=False, dtype=tf.float64)
        self._min = tf.Variable(np.inf, trainable=False, dtype=tf.float32)
        self._max = tf.Variable(-np.inf, trainable=False, dtype=tf.float32)

    def reset(self) -> None:
        self._buckets.assign(np.zeros(bins.BUCKETS, dtype=np.int64))
        self._sums.assign(np.zeros(5))
        self._min.assign(np.inf)
        self._max.assign(-np.inf)

    def add(self, gradients: Sequence[Any], xla: bool = False) -> None:
        """Adds one step; ``gradients`` are tensors or IndexedSlices. Runs in the graph; ``xla``: compiled by XLA."""
        values = tf.concat([_flat(gradient) for gradient in gradients], axis=0)
        squares = tf.reduce_sum(tf.square(tf.cast(values, tf.float64)))
        # No square of a float32 overflows a float64: the sum tells whether all values are finite, without a mask.
        finite, moments, low, high = tf.cond(
            tf.math.is_finite(squares), lambda: _all_finite(values, squares), lambda: _some_finite(values)
        )
        self._sums.assign_add(tf.concat([moments, [tf.sqrt(squares), 1.0]], axis=0))
        self._min.assign(tf.minimum(self._min, low))
        self._max.assign(tf.maximum(self._max, high))
        self._buckets.assign_add(_count(finite, xla))

    def values(self, tower: str) -> Values:
        """The epoch's values under their metric keys; nothing when no step was seen."""
        nonfinite, total, squares, norms, steps = (float(value) for value in self._sums.numpy())
        if not steps:
            return {}
        counts = bins.collapse(self._buckets.numpy(), self._edges, int(nonfinite))
        n = counts.finite
        mean = total / n if n else float("nan")
        variance = max(0.0, squares / n - mean * mean) if n else float("nan")
        values = {
            f"{tower}_grad_mean": mean,
            f"{tower}_grad_std": variance**0.5,
            f"{tower}_grad_min": float(self._min.numpy()) if n else float("nan"),
            f"{tower}_grad_max": float(self._max.numpy()) if n else float("nan"),
            f"{tower}_grad_norm": norms / steps,
            f"{tower}_grad_hist_underflow": float(counts.underflow),
            f"{tower}_grad_hist_overflow": float(counts.overflow),
            f"{tower}_grad_nonfinite": float(counts.nonfinite),
        }
        return values | {f"{tower}_grad_hist_bin_{index}": float(count) for index, count in enumerate(counts.bins)}


def _flat(gradient: Any) -> Any:
    dense = gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient
    return tf.reshape(tf.cast(dense, tf.float32), [-1])


def _all_finite(values: Any, squares: Any) -> tuple[Any, Any, Any, Any]:
    """The values; how many are not finite, their sum and their sum of squares; the least; the greatest."""
    total = tf.reduce_sum(tf.cast(values, tf.float64))
    moments = tf.stack([tf.zeros((), tf.float64), total, squares])
    return values, moments, tf.reduce_min(values), tf.reduce_max(values)


def _some_finite(values: Any) -> tuple[Any, Any, Any, Any]:
    """The same of the finite values alone; zeros take the places of the others."""
    finite = tf.math.is_finite(values)
    zeroed = tf.where(finite, values, 0.0)
    wide = tf.cast(zeroed, tf.float64)
    strange = tf.reduce_sum(tf.cast(~finite, tf.float64))
    moments = tf.stack([strange, tf.reduce_sum(wide), tf.reduce_sum(tf.square(wide))])
    low, high = tf.where(finite, values, np.inf), tf.where(finite, values, -np.inf)
    return zeroed, moments, tf.reduce_min(low), tf.reduce_max(high)


def _count(values: Any, xla: bool) -> Any:
    """How many of the finite values fall into each bucket, in int64: see `bins`."""
    magnitude = tf.bitwise.right_shift(tf.bitcast(tf.abs(values), tf.int32), 16)
    magnitude = tf.clip_by_value(magnitude, bins.LEAST, bins.MOST)
    half = bins.BUCKETS // 2
    bucket = tf.where(values < 0, (bins.LEAST + half - 1) - magnitude, magnitude + (half - bins.LEAST))
    if xla:
        # bincount does not compile; this does, and takes seven times as long without XLA.
        return tf.math.unsorted_segment_sum(tf.ones_like(bucket, tf.int64), bucket, bins.BUCKETS)
    return tf.math.bincount(bucket, minlength=bins.BUCKETS, maxlength=bins.BUCKETS, dtype=tf.int64)
