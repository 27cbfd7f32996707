"""Bin counts that a run logged as metrics → histogram documents, with the true edges of every epoch."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import cast

import numpy as np

from contract.entries import EntryKey, Histogram, HistogramType, Resolution, Series, Tower
from workers.catalogue import STEM, bin_of
from workers.fetched import FetchedRun, Indices, Values
from workers.partition import Partition
from workers.series import counts, integers, series


class HistogramDocuments:
    """The histograms of one run: of weights and gradients, of both towers, where it has them."""

    def __init__(self, run: FetchedRun, partition: Partition, cached_at: str) -> None:
        self._run, self._partition, self._cached_at = run, partition, cached_at

    @property
    def available(self) -> bool:
        return bool(self._bins)

    def documents(self, resolution: Resolution, positions: Indices) -> Iterator[tuple[EntryKey, Histogram]]:
        for type_ in HistogramType:
            for tower in Tower:
                if document := self.histogram(type_, tower, resolution, positions):
                    yield EntryKey.histogram(self._run.run_id, type_, tower, resolution), document

    def histogram(
        self, type_: HistogramType, tower: Tower, resolution: Resolution, positions: Indices
    ) -> Histogram | None:
        """Of the epochs at ``positions`` the whole ones: those that have every bin, and edges. None where there is no
        such histogram.
        """
        stem = f"{tower}_{STEM[type_]}"
        bins = self._bins.get(stem)
        if not bins:
            return None
        columns = np.stack([self._partition.values(key) for key in bins], axis=1)
        edges = self._edges(type_, tower, len(bins))
        whole = np.asarray(np.isfinite(columns).all(axis=1) & np.isfinite(edges).all(axis=1))
        if not whole.any():
            return None
        positions = positions[whole[positions]]

        def outside(side: str) -> Series:
            return cast(Series, counts(np.nan_to_num(self._partition.values(f"{stem}_{side}")[positions])))

        return {
            "available": True,
            "type": type_.value,
            "tower": tower.value,
            "resolution": resolution.value,
            "epochs": integers(self._partition.epochs[positions]),
            "epochs_total": int(whole.sum()),
            "bin_edges": cast("list[float]", series(edges[np.argmax(whole)], resolution)),
            "bin_edges_by_epoch": cast("list[list[float]]", series(edges[positions], resolution)),
            "counts": counts(columns[positions]),
            "underflow": outside("underflow"),
            "overflow": outside("overflow"),
            "cached_at": self._cached_at,
            "mlflow_run_id": self._run.run_id,
        }

    @cached_property
    def _bins(self) -> dict[str, list[str]]:
        """Stem → the metric keys of its bins in order, where the run has all of them up to the highest."""
        numbers: dict[str, list[int]] = {}
        for stem, number_ in filter(None, map(bin_of, self._partition.curves)):
            numbers.setdefault(stem, []).append(number_)
        return {
            stem: [f"{stem}_bin_{number_}" for number_ in range(len(found))]
            for stem, found in numbers.items()
            if sorted(found) == list(range(len(found)))
        }

    def _edges(self, type_: HistogramType, tower: Tower, bins: int) -> Values:
        """(epochs, bins + 1). Weights: equal width from that epoch's minimum to its maximum. Otherwise, and where an
        epoch has neither, the run's parameter; NaN where there is none.
        """
        edges = np.tile(
            self._edges_of_param(f"{tower}_{STEM[type_]}_bin_edges", bins), (len(self._partition.epochs), 1)
        )
        if type_ is HistogramType.WEIGHTS:
            low, high = self._partition.values(f"{tower}_weights_min"), self._partition.values(f"{tower}_weights_max")
            known = np.isfinite(low) & np.isfinite(high)
            edges[known] = np.linspace(low[known], high[known], bins + 1, axis=1)
        return edges

    def _edges_of_param(self, name: str, bins: int) -> Values:
        try:
            edges = np.array([float(edge) for edge in self._run.params.get(name, "").split(",")])
        except ValueError:
            return np.full(bins + 1, np.nan)
        return edges if len(edges) == bins + 1 else np.full(bins + 1, np.nan)
