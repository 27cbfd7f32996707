"""The catalogue's metrics of weights and gradients, for training loops of any framework. NumPy only.

::

    from warmboard.statistics import GradientSums, weight_norms, weight_statistics

    gradients = GradientSums()
    run.log_params(gradients.params())
    ...
    gradients.add({"query": arrays, "candidate": arrays})         # every step
    ...
    run.log_metrics(gradients.values(), step=epoch)               # every epoch

Arrays have any shape and any floating type, and may be anything that ``numpy.asarray`` accepts, such as a PyTorch
tensor on the CPU. The Keras callbacks log the same values by the same rules.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from warmboard.statistics import bins
from warmboard.statistics.moments import Moments, chunks, finite_chunks, norm

TOWERS = ("query", "candidate")

Values = dict[str, float]
Arrays = Iterable[Any]


def weight_norms(arrays: Mapping[str, Arrays], others: Arrays = ()) -> Values:
    """Return the L2 norms: ``{tower}_weight_norm`` of each tower, ``weight_norm`` of all weights with ``others``.

    ``arrays`` are each tower's weights. A norm is NaN or infinite if one weight is. Pass weights that two towers share
    in both lists: as the same object, they count once in ``weight_norm``. Raises ValueError for a tower not in
    ``TOWERS``.
    """
    listed = {tower: list(of_tower) for tower, of_tower in known(arrays).items()}
    every = {id(array): array for group in (*listed.values(), list(others)) for array in group}
    norms = {key: norm([np.asarray(array)]) for key, array in every.items()}
    values = {
        f"{tower}_weight_norm": total_norm(norms[id(array)] for array in group) for tower, group in listed.items()
    }
    return {"weight_norm": total_norm(norms.values())} | values


def total_norm(norms: Iterable[float]) -> float:
    """Return the L2 norm of the whole from the norms of its parts."""
    return math.sqrt(math.fsum(part * part for part in norms))


def weight_statistics(tower: str, arrays: Arrays) -> Values:
    """Return ``{tower}_weights_mean``, ``_std`` (population), ``_min``, ``_max``, ``_nonfinite`` and the histogram.

    ``{tower}_hist_bin_0`` … ``_24`` count the weights in 25 bins of equal width from min to max; `weight_edges_param`
    has the edges. The statistics are NaN if no weight is finite.
    """
    weights = [np.asarray(array) for array in arrays]
    found = Moments.of(weights)
    low, high = found.bounds
    values = {
        f"{tower}_weights_mean": found.mean,
        f"{tower}_weights_std": found.std,
        f"{tower}_weights_min": low,
        f"{tower}_weights_max": high,
        f"{tower}_weights_nonfinite": float(found.nonfinite),
    }
    return values | _numbered(f"{tower}_hist", _weight_counts(weights, found))


def weight_edges_param(tower: str, values: Mapping[str, float]) -> dict[str, str]:
    """Return the parameter ``{tower}_hist_bin_edges`` for the values of `weight_statistics`; empty if they are NaN."""
    low, high = values[f"{tower}_weights_min"], values[f"{tower}_weights_max"]
    return {f"{tower}_hist_bin_edges": bins.text(bins.weight_edges(low, high))} if math.isfinite(low) else {}


@dataclass
class GradientTotals:
    """The sums over one tower's gradients in an epoch, from which its metrics are computed."""

    moments: Moments = field(default_factory=Moments)
    norms: float = 0.0
    steps: int = 0
    buckets: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(bins.BUCKETS, dtype=np.int64))

    def add(self, arrays: Sequence[npt.NDArray[Any]]) -> None:
        """Add one step."""
        step = Moments.of(arrays)
        self.moments = self.moments.merged(step)
        self.norms += norm(arrays) if step.nonfinite else step.norm
        self.steps += 1
        for chunk in chunks(arrays):
            self.buckets += bins.bucket_counts(chunk)

    def values(self, tower: str, edges: bins.Edges) -> Values:
        """Return the values under their metric keys; none if no step was added."""
        if not self.steps:
            return {}
        counts = bins.collapse(self.buckets, edges)
        low, high = self.moments.bounds
        values = {
            f"{tower}_grad_mean": self.moments.mean,
            f"{tower}_grad_std": self.moments.std,
            f"{tower}_grad_min": low,
            f"{tower}_grad_max": high,
            f"{tower}_grad_norm": self.norms / self.steps,
            f"{tower}_grad_hist_underflow": float(counts.underflow),
            f"{tower}_grad_hist_overflow": float(counts.overflow),
            f"{tower}_grad_nonfinite": float(counts.nonfinite),
        }
        return values | _numbered(f"{tower}_grad_hist", counts.bins)


class GradientSums:
    """Sums up the gradients of every step of an epoch.

    ``scale`` selects the bins: ``symlog`` (logarithmic on both sides of zero) or ``linear`` (equal width on [-1, 1]).
    """

    def __init__(self, scale: bins.Scale = "symlog") -> None:
        self.edges = bins.gradient_edges(scale)
        self._totals = {tower: GradientTotals() for tower in TOWERS}

    def add(self, gradients: Mapping[str, Arrays]) -> None:
        """Add one step: each tower's gradients. Raises ValueError for a tower not in ``TOWERS``.

        None instead of an array, which is the gradient of a variable that the loss does not depend on, is skipped.
        """
        for tower, arrays in known(gradients).items():
            present = [np.asarray(array) for array in arrays if array is not None]
            if present:
                self._totals[tower].add(present)

    def values(self) -> Values:
        """Return the values of this epoch and start the next one. A tower without a step has none."""
        totals, self._totals = self._totals, {tower: GradientTotals() for tower in TOWERS}
        return {key: value for tower in TOWERS for key, value in totals[tower].values(tower, self.edges).items()}

    def params(self) -> dict[str, str]:
        """Return ``{tower}_grad_hist_bin_edges``: 26 edges, comma-separated, the same for a whole run."""
        return gradient_edges_params(self.edges)


def gradient_edges_params(edges: bins.Edges) -> dict[str, str]:
    return {f"{tower}_grad_hist_bin_edges": bins.text(edges) for tower in TOWERS}


def known(of_towers: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the mapping. Raises ValueError if a key is not a tower."""
    if unknown := of_towers.keys() - set(TOWERS):
        raise ValueError(f"there is no tower {', '.join(sorted(unknown))}: the towers are {' and '.join(TOWERS)}")
    return of_towers


def _numbered(stem: str, counts: npt.NDArray[np.int64]) -> Values:
    return {f"{stem}_bin_{index}": float(count) for index, count in enumerate(counts)}


def _weight_counts(weights: Sequence[npt.NDArray[Any]], found: Moments) -> npt.NDArray[np.int64]:
    counts = np.zeros(bins.BINS, dtype=np.int64)
    if not found.low < found.high:
        # All weights are equal, as zeros at the start are. The bins have no width, and the first one gets all.
        counts[0] = found.n
        return counts
    edges = bins.weight_edges(found.low, found.high)
    # NumPy finds bins of equal width by a division, unless min and max are so close that some bins have no width.
    options: dict[str, Any] = (
        {"bins": bins.BINS, "range": found.bounds} if np.all(np.diff(edges) > 0) else {"bins": edges}
    )
    for chunk in finite_chunks(weights):
        counts += np.histogram(chunk, **options)[0]
    return counts
