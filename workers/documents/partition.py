"""Partition a run's metrics: those that share its epochs, those with their own axis, and single values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from warmboard.contract.catalogue import is_histogram, is_named
from warmboard.contract.entries import Chart
from workers.documents.sample import align
from workers.history.charts import charts_of
from workers.history.drawing import Curve
from workers.history.points import Indices, Values
from workers.history.roles import SYSTEM

MOST_METRICS = 50
"""The max number of metrics outside the catalogue in a history. The others are in metric chunks."""

Curves = dict[str, Curve]


@dataclass(frozen=True)
class Partition:
    """Every metric of a run in exactly one place. ``others`` are in the order of the charts, the rest by key.

    ``epochs`` are the steps of the catalogue's metrics, or if there are none, the steps that most metrics share.
    ``curves`` have all their steps among the epochs, ``others`` have their own axes, and ``finals`` are metrics with a
    single value. ``charts`` have every metric of ``curves`` and ``others``, except the parts of histograms.
    """

    epochs: Indices
    curves: Curves
    others: Curves
    finals: Curves
    charts: list[Chart]

    def values(self, key: str) -> Values:
        """One value per epoch: NaN where the curve has none. All NaN without such a curve."""
        curve = self.curves.get(key)
        if curve is None:
            return np.full(len(self.epochs), np.nan)
        return align(curve.steps, curve.values, self.epochs)

    @classmethod
    def of(cls, curves: Mapping[str, Curve], most_cells: int) -> Partition:
        """Partition a run's curves. Empty curves are left out. ``most_cells`` is the max number of values in
        ``curves``, unless the catalogue's are more.
        """
        ordered = {key: curves[key] for key in sorted(curves) if len(curves[key].steps)}
        named = {key: curve for key, curve in ordered.items() if is_named(key) and not curve.is_counted}
        finals = {key: curve for key, curve in ordered.items() if key not in named and _is_single(curve)}
        rest = {key: curve for key, curve in ordered.items() if key not in named and key not in finals}
        epochs = _union(named) if named else _most_shared(rest)
        charts = charts_of(key for key in ordered if key not in finals and not is_histogram(key))
        # What matters most is in the history, if not everything can be.
        leading = [key for chart in charts for key in chart["metrics"] if key in rest]
        rest = {key: rest[key] for key in [*leading, *(key for key in rest if is_histogram(key))]}
        room = max(most_cells // max(len(epochs), 1) - len(named), 0)
        sharing = set(list(_sharing(rest, epochs))[: min(MOST_METRICS, room)])
        return cls(
            epochs=epochs,
            curves={key: curve for key, curve in ordered.items() if key in named or key in sharing},
            others={key: curve for key, curve in rest.items() if key not in sharing},
            finals=finals,
            charts=charts,
        )


def _is_single(curve: Curve) -> bool:
    return len(curve.steps) == 1 and not curve.earlier


def _union(curves: Curves) -> Indices:
    """All steps of all curves, sorted. Most curves share their steps, so each distinct axis is used once; the only one
    is returned as it is, which is how most curves are then recognised.
    """
    axes = list({curve.steps.tobytes(): curve.steps for curve in curves.values()}.values())
    return axes[0] if len(axes) == 1 else np.unique(np.concatenate(axes))


def _most_shared(curves: Curves) -> Indices:
    """The axis that most curves share; of several, the longest.

    MLflow's system metrics don't count: their steps are samples, not training steps.
    """
    sharing: dict[bytes, list[Indices]] = defaultdict(list)
    for key, curve in curves.items():
        if not key.startswith(SYSTEM) and not curve.is_counted:
            sharing[curve.steps.tobytes()].append(curve.steps)
    best = max(sharing.values(), key=lambda steps: (len(steps), len(steps[0])), default=[np.zeros(0, dtype=np.int64)])
    return best[0]


def _sharing(curves: Curves, epochs: Indices) -> Iterator[str]:
    """The keys of curves whose steps are all among the epochs. Each distinct axis is checked once."""
    known: dict[bytes, bool] = {}
    for key, curve in curves.items():
        if curve.is_counted:
            continue
        axis = curve.steps.tobytes()
        if axis not in known:
            known[axis] = bool(np.isin(curve.steps, epochs, assume_unique=True).all())
        if known[axis]:
            yield key
