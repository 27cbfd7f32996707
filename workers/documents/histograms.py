"""Build histogram documents from bin counts that a run logged as metrics, with each epoch's true edges."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
from numpy.typing import NDArray

from warmboard.contract.catalogue import bin_key, bin_of, edges_param, outside_key, weights_key
from warmboard.contract.entries import EntryKey, Histogram, HistogramType, Resolution, Series, Tower
from workers.documents.partition import Partition
from workers.documents.sample import Sampling, kept
from workers.documents.series import counts, integers, series
from workers.history.fetched import FetchedRun
from workers.history.points import Indices, Values

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class _Bins:
    """``counts`` (epochs, bins), ``edges`` (epochs, bins + 1), and ``whole`` (epochs,): whether both are known."""

    counts: Values
    edges: Values
    whole: Mask


class HistogramDocuments:
    """The histograms of one run: weights and gradients of each tower, if logged."""

    def __init__(self, run: FetchedRun, partition: Partition, sampling: Sampling, cached_at: str) -> None:
        self._run, self._partition, self._sampling, self._cached_at = run, partition, sampling, cached_at

    @cached_property
    def available(self) -> bool:
        """Whether the run has at least one histogram to draw."""
        return any(self._read(type_, tower) for type_ in HistogramType for tower in Tower)

    def documents(self, resolution: Resolution, positions: Indices) -> Iterator[tuple[EntryKey, Histogram]]:
        """The run's histograms at one resolution. ``positions`` are the epochs that its curves keep."""
        for type_ in HistogramType:
            for tower in Tower:
                if bins := self._read(type_, tower):
                    key = EntryKey.histogram(self._run.run_id, type_, tower, resolution)
                    yield key, self._document(type_, tower, resolution, bins, positions)

    def _document(
        self, type_: HistogramType, tower: Tower, resolution: Resolution, bins: _Bins, positions: Indices
    ) -> Histogram:
        kept_ = self._whole_epochs(bins.whole, resolution, positions)

        def outside(side: str) -> Series:
            return cast(Series, counts(np.nan_to_num(self._partition.values(outside_key(type_, tower, side))[kept_])))

        return {
            "available": True,
            "type": type_.value,
            "tower": tower.value,
            "resolution": resolution.value,
            "epochs": integers(self._partition.epochs[kept_]),
            "epochs_total": int(bins.whole.sum()),
            "bin_edges": cast("list[float]", series(bins.edges[np.argmax(bins.whole)], resolution)),
            "bin_edges_by_epoch": cast("list[list[float]]", series(bins.edges[kept_], resolution)),
            "counts": counts(bins.counts[kept_]),
            "underflow": outside("underflow"),
            "overflow": outside("overflow"),
            "cached_at": self._cached_at,
            "mlflow_run_id": self._run.run_id,
        }

    def _whole_epochs(self, whole: Mask, resolution: Resolution, positions: Indices) -> Indices:
        """Positions of the epochs to keep: the curves' epochs that have every bin.

        Bins logged at fewer than half of all epochs have their own grid, because they would mostly miss the curves'.
        """
        if resolution is Resolution.FULL or 2 * int(whole.sum()) >= len(whole):
            return positions[whole[positions]]
        places = np.flatnonzero(whole)
        return places[kept(len(places), 1, self._sampling.points)]

    def _read(self, type_: HistogramType, tower: Tower) -> _Bins | None:
        """The bins of a histogram; None if no epoch has every bin and its edges."""
        keys = self._bins.get((type_, tower))
        if not keys:
            return None
        columns = np.stack([self._partition.values(key) for key in keys], axis=1)
        edges = self._edges(type_, tower, len(keys))
        whole = np.asarray(np.isfinite(columns).all(axis=1) & np.isfinite(edges).all(axis=1))
        return _Bins(columns, edges, whole) if whole.any() else None

    @cached_property
    def _bins(self) -> dict[tuple[HistogramType, Tower], list[str]]:
        """Map type and tower to the metric keys of its bins, in order. Histograms with a gap are left out."""
        numbers: dict[tuple[HistogramType, Tower], list[int]] = {}
        for type_, tower, number_ in filter(None, map(bin_of, self._partition.curves)):
            numbers.setdefault((type_, tower), []).append(number_)
        return {
            (type_, tower): [bin_key(type_, tower, number_) for number_ in range(len(found))]
            for (type_, tower), found in numbers.items()
            if sorted(found) == list(range(len(found)))
        }

    def _edges(self, type_: HistogramType, tower: Tower, bins: int) -> Values:
        """Edges of shape (epochs, bins + 1).

        Weights have bins of equal width from the epoch's min to its max. Gradients, and epochs without min and max,
        have the edges of the run's parameter; NaN without that.
        """
        edges = np.tile(self._edges_of_param(edges_param(type_, tower), bins), (len(self._partition.epochs), 1))
        if type_ is HistogramType.WEIGHTS:
            low, high = (self._partition.values(weights_key(tower, name)) for name in ("min", "max"))
            known = np.isfinite(low) & np.isfinite(high)
            edges[known] = np.linspace(low[known], high[known], bins + 1, axis=1)
        return edges

    def _edges_of_param(self, name: str, bins: int) -> Values:
        try:
            edges = np.array([float(edge) for edge in self._run.params.get(name, "").split(",")])
        except ValueError:
            return np.full(bins + 1, np.nan)
        return edges if len(edges) == bins + 1 else np.full(bins + 1, np.nan)
