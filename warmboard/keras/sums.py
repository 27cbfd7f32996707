"""Sums over the gradients of every step, inside the graph: no gradient reaches the host."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from warmboard.statistics import bins
from warmboard.statistics.moments import Moments
from warmboard.statistics.values import TOWERS, GradientTotals, Values, gradient_edges_params, known

# Of each tower a row, so that a step is summed up and added for both at once: small operations cost more than what they
# compute. Places in a row: how many values are finite, their sum, the sum of their squared distances from their mean,
# the least, the greatest, the sum of all values' squares.
Sums = Any


class Part(NamedTuple):
    """What one replica knows of one step. ``sums``, of shape ``(towers, 6)``, and each tower's ``counts`` are those of
    its own; ``dense`` holds what is yet to be summed over the replicas.
    """

    sums: Sums
    counts: dict[str, Any]
    dense: dict[str, list[Any]]


class GraphGradientSums:
    """`statistics.GradientSums` for TensorFlow: ``add`` is called where gradients are, in a ``tf.function``.

    It makes variables, so it is made outside of any ``tf.function``. ``values`` and ``reset`` are for the host.
    ``jit_compile``: whether the function is compiled by XLA. Under ``tf.distribute.MirroredStrategy`` every replica
    adds its own gradients, and a step counts once.
    """

    def __init__(self, scale: bins.Scale = "symlog", *, jit_compile: bool = False) -> None:
        self.edges = bins.gradient_edges(scale)
        self.jit_compile = jit_compile
        self._sums = _variable(np.zeros((len(TOWERS), 5)))
        self._bounds = _variable(np.full((len(TOWERS), 2), -np.inf))
        self._shift = _variable(np.full(len(TOWERS), np.nan))
        self._counts = {tower: tf.Variable(np.zeros(bins.BUCKETS), trainable=False, dtype=tf.int64) for tower in TOWERS}

    def add(self, gradients: Mapping[str, Sequence[Any]]) -> None:
        """Adds one step: each tower's gradients, tensors, IndexedSlices or None. In a replica of a strategy: its own.

        Raises ValueError for any other tower than those of ``warmboard.statistics.values.TOWERS``.
        """
        once_a_step(self.fold, self.summarise(gradients))

    def summarise(self, gradients: Mapping[str, Sequence[Any]]) -> Part | None:
        """What this replica adds to a step; None where there is no gradient."""
        present = {
            tower: [gradient for gradient in of_tower if gradient is not None]
            for tower, of_tower in known(gradients).items()
        }
        present = {tower: of_tower for tower, of_tower in present.items() if of_tower}
        if not present:
            return None
        if _replicas() == 1:
            return Part(*self._summary(present), {})
        # Rows of embeddings are each replica's own; of all else the optimizer applies the sum over the replicas.
        rows = {tower: [g for g in of_tower if isinstance(g, tf.IndexedSlices)] for tower, of_tower in present.items()}
        dense = {
            tower: [tf.convert_to_tensor(g) for g in of_tower if not isinstance(g, tf.IndexedSlices)]
            for tower, of_tower in present.items()
        }
        return Part(*self._summary(rows), dense)

    def fold(self, replicas: Sequence[Part]) -> None:
        """Adds one step that all replicas have summarised."""
        parts = [(replica.sums, replica.counts) for replica in replicas]
        dense = {
            tower: [
                tf.add_n(list(of_replicas)) for of_replicas in zip(*(r.dense[tower] for r in replicas), strict=True)
            ]
            for tower in replicas[0].dense
        }
        if any(dense.values()):
            parts.append(self._summary(dense))
        sums = functools.reduce(_merged, [of_part for of_part, _ in parts])
        for tower in replicas[0].counts:
            self._counts[tower].assign_add(sum(counts[tower] for _, counts in parts))
        self._add_step(sums, [float(tower in replicas[0].counts) for tower in TOWERS])

    def _add_step(self, sums: Sums, steps: Sequence[float]) -> None:
        """Adds the sums of a step, which counts for those towers that had gradients.

        Squared distances are summed from a value close to all means, that of the first step: "shifted data" of Chan,
        Golub and LeVeque ("Algorithms for computing the sample variance", The American Statistician, 1983). However the
        means move, what that loses is a part of the result as small as float64's precision times the number of steps.
        """
        n, total, distances, low, high, squares = tf.unstack(sums, axis=1)
        mean = total / n  # NaN of no values
        shift = tf.where(tf.math.is_nan(self._shift), mean, self._shift)
        apart = mean - shift
        about_shift = distances + tf.math.multiply_no_nan(apart * apart, n)
        self._sums.assign_add(tf.stack([n, total, about_shift, tf.sqrt(squares), steps], axis=1))
        self._bounds.assign(tf.maximum(self._bounds, tf.stack([-low, high], axis=1)))
        self._shift.assign(shift)

    def reset(self) -> None:
        """Forgets what was added."""
        self._sums.assign(tf.zeros_like(self._sums))
        self._bounds.assign(tf.fill(self._bounds.shape, tf.constant(-np.inf, tf.float64)))
        self._shift.assign(tf.fill(self._shift.shape, tf.constant(np.nan, tf.float64)))
        for tower in TOWERS:
            self._counts[tower].assign(np.zeros(bins.BUCKETS, dtype=np.int64))

    def values(self) -> Values:
        """The values of the epoch that ends now, and the next begins; nothing for a tower that had no step."""
        values: Values = {}
        for tower in TOWERS:
            values |= self._totals(tower).values(tower, self.edges)
        self.reset()
        return values

    def params(self) -> dict[str, str]:
        """``{tower}_grad_hist_bin_edges``: 26 edges, comma-separated, the same for a whole run."""
        return gradient_edges_params(self.edges)

    def _summary(self, gradients: Mapping[str, Sequence[Any]]) -> tuple[Sums, dict[str, Any]]:
        """Sums and counts of the values of a step, or of a part of it."""
        values = {tower: _flat(of_tower) for tower, of_tower in gradients.items()}
        xla = self.jit_compile and not tf.executing_eagerly()
        counts = {tower: _count(of_tower, xla) for tower, of_tower in values.items()}
        every = [values.get(tower, tf.zeros((0,))) for tower in TOWERS]
        return _sums(every), counts

    def _totals(self, tower: str) -> GradientTotals:
        row = list(TOWERS).index(tower)
        n, total, about_shift, norms, steps = _numpy(self._sums)[row].tolist()
        low, high = (_numpy(self._bounds)[row] * (-1, 1)).tolist()
        apart = total / n - float(_numpy(self._shift)[row]) if n else 0.0
        distances = max(0.0, about_shift - n * apart * apart)
        moments = Moments(n=int(n), total=total, distances=distances, low=low, high=high)
        return GradientTotals(moments, norms, int(steps), _numpy(self._counts[tower]))


def once_a_step(fold: Callable[[Sequence[Any]], Any], part: Any) -> None:
    """Calls ``fold`` with the parts of all replicas: once a step, wherever there are several."""
    if _replicas() == 1:
        fold([part])
        return

    def merge(strategy: Any, parts: Any) -> None:
        count = strategy.num_replicas_in_sync
        of_replica = [
            tf.nest.map_structure(lambda leaf, i=index: strategy.experimental_local_results(leaf)[i], parts)
            for index in range(count)
        ]
        fold(of_replica)

    tf.distribute.get_replica_context().merge_call(merge, args=(part,))


def _variable(value: Any) -> Any:
    return tf.Variable(value, trainable=False, dtype=tf.float64)


def _numpy(variable: Any) -> Any:
    return tf.convert_to_tensor(variable).numpy()


def _replicas() -> int:
    replica = tf.distribute.get_replica_context()
    return 1 if replica is None else int(replica.num_replicas_in_sync)


def _flat(gradients: Sequence[Any]) -> Any:
    """All values, of shape ``(n,)``: in float32, which holds half precision exactly, or in float64 if one is."""
    dense = [gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient for gradient in gradients]
    kind = tf.float64 if any(gradient.dtype == tf.float64 for gradient in dense) else tf.float32
    if not dense:
        return tf.zeros((0,), kind)
    return tf.concat([tf.reshape(tf.cast(gradient, kind), [-1]) for gradient in dense], axis=0)


def _sums(values: Sequence[Any]) -> Sums:
    """The sums of each tower's values, of shape ``(n,)``."""
    wide = [tf.cast(of_tower, tf.float64) for of_tower in values]
    n = tf.cast(tf.stack([tf.size(of_tower) for of_tower in values]), tf.float64)
    total = tf.stack([tf.reduce_sum(of_tower) for of_tower in wide])
    squares = 2 * tf.stack([tf.nn.l2_loss(of_tower) for of_tower in wide])
    distances = squares - tf.math.divide_no_nan(total * total, n)
    # Then sum and squares are finite, which those of float32 are when all values are; and no more than one bit is
    # lost when the one is taken from the other. Gradients of which this isn't true are rare, and a second look at
    # each of their values costs something.
    plain = tf.reduce_all((2 * distances >= squares) & tf.math.is_finite(squares))
    return tf.cond(
        plain,
        lambda: tf.stack([n, total, distances, *_bounds(values), squares], axis=1),
        lambda: _looked_at_twice(values, wide, squares),
    )


def _bounds(values: Sequence[Any]) -> tuple[Any, Any]:
    low = tf.stack([tf.cast(tf.reduce_min(of_tower), tf.float64) for of_tower in values])
    high = tf.stack([tf.cast(tf.reduce_max(of_tower), tf.float64) for of_tower in values])
    return low, high


def _looked_at_twice(values: Sequence[Any], wide: Sequence[Any], squares: Any) -> Sums:
    """The sums where some values are not finite, or nearly all are the same."""
    rows = []
    for of_tower, in_float64 in zip(values, wide, strict=True):
        finite = tf.math.is_finite(of_tower)
        n = tf.math.count_nonzero(finite, dtype=tf.float64)
        total = tf.reduce_sum(tf.where(finite, in_float64, 0.0))
        mean = tf.math.divide_no_nan(total, n)
        distances = 2 * tf.nn.l2_loss(tf.where(finite, in_float64 - mean, 0.0))
        low = tf.reduce_min(tf.where(finite, in_float64, np.inf))
        rows.append(tf.stack([n, total, distances, low, tf.reduce_max(tf.where(finite, in_float64, -np.inf))]))
    return tf.concat([tf.stack(rows), squares[:, tf.newaxis]], axis=1)


def _merged(one: Sums, other: Sums) -> Sums:
    """The sums of two parts of one step: `warmboard.statistics.moments.Moments.merged`, in the graph."""
    n, total, distances, low, high, squares = tf.unstack(one, axis=1)
    n2, total2, distances2, low2, high2, squares2 = tf.unstack(other, axis=1)
    apart = tf.math.divide_no_nan(total2, n2) - tf.math.divide_no_nan(total, n)
    between = apart * apart * n * tf.math.divide_no_nan(n2, n + n2)
    extremes = tf.minimum(low, low2), tf.maximum(high, high2)
    return tf.stack([n + n2, total + total2, distances + distances2 + between, *extremes, squares + squares2], axis=1)


def _count(values: Any, xla: bool) -> Any:
    """How many of the values fall into each bucket, in int64: see `warmboard.statistics.bins.bucket_counts`."""
    if values.dtype == tf.float64:
        clipped = tf.clip_by_value(values, -2.0, 2.0)
        values = tf.cast(tf.where(tf.math.is_finite(values), clipped, values), tf.float32)
    upper_bits = tf.cast(tf.bitcast(values, tf.uint16)[:, 1], tf.int32)
    if xla:
        # What follows does not compile; this does, and takes ten times as long without XLA.
        return tf.math.unsorted_segment_sum(tf.ones_like(upper_bits, tf.int64), upper_bits, bins.BUCKETS)
    # A third of bincount's cost. Bins of width 1 make it exact.
    values = tf.cast(upper_bits, _counted_as())
    value_range = tf.cast([0, bins.BUCKETS], values.dtype)
    histogram = tf.raw_ops.HistogramFixedWidth(values=values, value_range=value_range, nbins=bins.BUCKETS)
    return tf.cast(histogram, tf.int64)


def _counted_as() -> Any:
    """Whole numbers are quicker, but GPUs have no kernel for them: each step's would go through the host."""
    return tf.float32 if tf.config.list_physical_devices("GPU") else tf.int32
