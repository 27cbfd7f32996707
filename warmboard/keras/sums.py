"""Sums over the gradients of every step, inside the graph: no gradient is copied to the host."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from warmboard.statistics import bins
from warmboard.statistics.moments import Moments
from warmboard.statistics.values import TOWERS, GradientTotals, Values, gradient_edges_params, known

# One row per tower, so that a step of both is added at once: the overhead of an operation is larger than its work. The
# columns: number of finite values, their sum, the sum of their squared distances from their mean, their min, their max,
# the sum of the squares of all values.
Sums = Any


class Part(NamedTuple):
    """One replica's part of one step. ``sums``, of shape ``(towers, 6)``, and each tower's ``buckets``, of shape
    ``(n,)``, are of its own gradients; ``dense`` are gradients to be summed over the replicas first.
    """

    sums: Sums
    buckets: dict[str, Any]
    dense: dict[str, list[Any]]


class GraphGradientSums:
    """`warmboard.statistics.GradientSums` for TensorFlow: call ``add`` with the gradients inside a ``tf.function``.

    Create it outside of any ``tf.function``, because it creates variables, and call ``values`` and ``reset`` outside.
    ``scale`` selects the bins: ``symlog`` or ``linear``. Set ``jit_compile`` if XLA compiles the function. Under
    ``tf.distribute.MirroredStrategy`` every replica adds its own gradients, and a step counts once.
    """

    def __init__(self, scale: bins.Scale = "symlog", *, jit_compile: bool = False) -> None:
        self.edges = bins.gradient_edges(scale)
        self.jit_compile = jit_compile
        self._sums = _variable(np.zeros((len(TOWERS), 5)))
        self._bounds = _variable(np.full((len(TOWERS), 2), -np.inf))
        self._shift = _variable(np.full(len(TOWERS), np.nan))
        self._counts = {tower: tf.Variable(np.zeros(bins.BUCKETS), trainable=False, dtype=tf.int64) for tower in TOWERS}

    def add(self, gradients: Mapping[str, Sequence[Any]]) -> None:
        """Add one step: each tower's gradients, as tensors, IndexedSlices or None. A replica adds its own.

        Raises ValueError for a tower not in ``warmboard.statistics.TOWERS``.
        """
        once_a_step(self.fold, self.summarise(gradients))

    def summarise(self, gradients: Mapping[str, Sequence[Any]]) -> Part | None:
        """Return this replica's part of a step; None if there is no gradient."""
        present = {
            tower: [gradient for gradient in of_tower if gradient is not None]
            for tower, of_tower in known(gradients).items()
        }
        present = {tower: of_tower for tower, of_tower in present.items() if of_tower}
        if not present:
            return None
        if _replicas() == 1:
            return Part(*self._summary(present), {})
        # Each replica has its own rows of embeddings. Of other gradients, the optimizer applies the sum over replicas.
        rows = {tower: [g for g in of_tower if isinstance(g, tf.IndexedSlices)] for tower, of_tower in present.items()}
        dense = {
            tower: [tf.convert_to_tensor(g) for g in of_tower if not isinstance(g, tf.IndexedSlices)]
            for tower, of_tower in present.items()
        }
        return Part(*self._summary(rows), dense)

    def fold(self, replicas: Sequence[Part]) -> None:
        """Add one step from the parts of all replicas."""
        parts = [(replica.sums, replica.buckets) for replica in replicas]
        dense = {
            tower: [
                tf.add_n(list(of_replicas)) for of_replicas in zip(*(r.dense[tower] for r in replicas), strict=True)
            ]
            for tower in replicas[0].dense
        }
        if any(dense.values()):
            parts.append(self._summary(dense))
        sums = functools.reduce(_merged, [of_part for of_part, _ in parts])
        xla = self.jit_compile and not tf.executing_eagerly()
        for _, buckets in parts:
            for tower, of_tower in buckets.items():
                _count(self._counts[tower], of_tower, xla)
        self._add_step(sums, [float(tower in replicas[0].buckets) for tower in TOWERS])

    def _add_step(self, sums: Sums, steps: Sequence[float]) -> None:
        """Add the sums of a step. The step counts for the towers that had gradients.

        Squared distances are summed from a value close to all means, that of the first step: the "shifted data" of
        Chan, Golub and LeVeque ("Algorithms for computing the sample variance", The American Statistician, 1983).
        However the means move, the relative error is at most float64's precision times the number of steps.
        """
        n, total, distances, low, high, squares = tf.unstack(sums, axis=1)
        mean = total / n  # NaN if there are no values
        shift = tf.where(tf.math.is_nan(self._shift), mean, self._shift)
        apart = mean - shift
        about_shift = distances + tf.math.multiply_no_nan(apart * apart, n)
        self._sums.assign_add(tf.stack([n, total, about_shift, tf.sqrt(squares), steps], axis=1))
        self._bounds.assign(tf.maximum(self._bounds, tf.stack([-low, high], axis=1)))
        self._shift.assign(shift)

    def reset(self) -> None:
        """Forget all steps."""
        self._sums.assign(tf.zeros_like(self._sums))
        self._bounds.assign(tf.fill(self._bounds.shape, tf.constant(-np.inf, tf.float64)))
        self._shift.assign(tf.fill(self._shift.shape, tf.constant(np.nan, tf.float64)))
        for tower in TOWERS:
            self._counts[tower].assign(np.zeros(bins.BUCKETS, dtype=np.int64))

    def values(self) -> Values:
        """Return the values of this epoch and start the next one. A tower without a step has none."""
        values: Values = {}
        for tower in TOWERS:
            values |= self._totals(tower).values(tower, self.edges)
        self.reset()
        return values

    def params(self) -> dict[str, str]:
        """Return ``{tower}_grad_hist_bin_edges``: 26 edges, comma-separated, the same for a whole run."""
        return gradient_edges_params(self.edges)

    def _summary(self, gradients: Mapping[str, Sequence[Any]]) -> tuple[Sums, dict[str, Any]]:
        """Return sums and buckets of the values of a step, or of a part of it."""
        values = {tower: _flat(of_tower) for tower, of_tower in gradients.items()}
        buckets = {tower: _buckets(of_tower) for tower, of_tower in values.items()}
        every = [values.get(tower, tf.zeros((0,))) for tower in TOWERS]
        return _sums(every), buckets

    def _totals(self, tower: str) -> GradientTotals:
        row = list(TOWERS).index(tower)
        n, total, about_shift, norms, steps = _numpy(self._sums)[row].tolist()
        low, high = (_numpy(self._bounds)[row] * (-1, 1)).tolist()
        apart = total / n - float(_numpy(self._shift)[row]) if n else 0.0
        distances = max(0.0, about_shift - n * apart * apart)
        moments = Moments(n=int(n), total=total, distances=distances, low=low, high=high)
        return GradientTotals(moments, norms, int(steps), _numpy(self._counts[tower]))


def once_a_step(fold: Callable[[Sequence[Any]], Any], part: Any) -> None:
    """Call ``fold`` once per step, with the parts of all replicas."""
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
    """Return all values, of shape ``(n,)``, in float32, which is exact for half precision; in float64 if one is."""
    dense = [gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient for gradient in gradients]
    kind = tf.float64 if any(gradient.dtype == tf.float64 for gradient in dense) else tf.float32
    if not dense:
        return tf.zeros((0,), kind)
    return tf.concat([tf.reshape(tf.cast(gradient, kind), [-1]) for gradient in dense], axis=0)


def _sums(values: Sequence[Any]) -> Sums:
    """Return the sums of each tower's values, of shape ``(n,)``."""
    wide = [tf.cast(of_tower, tf.float64) for of_tower in values]
    n = tf.cast(tf.stack([tf.size(of_tower) for of_tower in values]), tf.float64)
    total = tf.stack([tf.reduce_sum(of_tower) for of_tower in wide])
    squares = 2 * tf.stack([tf.nn.l2_loss(of_tower) for of_tower in wide])
    distances = squares - tf.math.divide_no_nan(total * total, n)
    # If True, sum and squares are finite (those of float32 values are if all values are), and subtracting one from the
    # other loses one bit at most. Gradients for which this is False are rare, and need a slower second pass.
    plain = tf.reduce_all((2 * distances >= squares) & tf.math.is_finite(squares))
    return tf.cond(
        plain,
        lambda: tf.stack([n, total, distances, *_bounds(values), squares], axis=1),
        lambda: _two_pass_sums(values, wide, squares),
    )


def _bounds(values: Sequence[Any]) -> tuple[Any, Any]:
    low = tf.stack([tf.cast(tf.reduce_min(of_tower), tf.float64) for of_tower in values])
    high = tf.stack([tf.cast(tf.reduce_max(of_tower), tf.float64) for of_tower in values])
    return low, high


def _two_pass_sums(values: Sequence[Any], wide: Sequence[Any], squares: Any) -> Sums:
    """Return the sums if some values are not finite, or nearly all are equal."""
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
    """Merge the sums of two parts of one step, as `warmboard.statistics.moments.Moments.merged` does, in the graph."""
    n, total, distances, low, high, squares = tf.unstack(one, axis=1)
    n2, total2, distances2, low2, high2, squares2 = tf.unstack(other, axis=1)
    apart = tf.math.divide_no_nan(total2, n2) - tf.math.divide_no_nan(total, n)
    between = apart * apart * n * tf.math.divide_no_nan(n2, n + n2)
    extremes = tf.minimum(low, low2), tf.maximum(high, high2)
    return tf.stack([n + n2, total + total2, distances + distances2 + between, *extremes, squares + squares2], axis=1)


def _buckets(values: Any) -> Any:
    """Return the bucket of each value, in int32, as `warmboard.statistics.bins.bucket_counts` does."""
    if values.dtype == tf.float64:
        clipped = tf.clip_by_value(values, -2.0, 2.0)
        values = tf.cast(tf.where(tf.math.is_finite(values), clipped, values), tf.float32)
    return tf.cast(tf.bitcast(values, tf.uint16)[:, 1], tf.int32)


def _count(counts: Any, buckets: Any, xla: bool) -> None:
    """Add one to ``counts``, a variable, for each value in a bucket."""
    if xla:
        # XLA can't compile what GPUs use. Without XLA this takes ten times as long.
        counts.assign_add(tf.math.unsorted_segment_sum(tf.ones_like(buckets, tf.int64), buckets, bins.BUCKETS))
    elif _has_gpu():
        # Bins of width 1 make it exact. In float32: GPUs have no kernel for integers, and would use the host.
        value_range = tf.constant([0.0, bins.BUCKETS])
        found = tf.raw_ops.HistogramFixedWidth(
            values=tf.cast(buckets, tf.float32), value_range=value_range, nbins=bins.BUCKETS
        )
        counts.assign_add(tf.cast(found, tf.int64))
    else:
        # In half the time of a histogram: it allocates nothing of the length of all buckets.
        counts.scatter_add(tf.IndexedSlices(tf.constant(1, tf.int64), buckets))


def _has_gpu() -> bool:
    return bool(tf.config.list_physical_devices("GPU"))
