"""A fetched run → the documents that contract/entries.py describes, at both resolutions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Literal, cast

import numpy as np

from contract.entries import (
    Entry,
    EntryKey,
    Envelope,
    Histogram,
    HistogramType,
    History,
    NonFinite,
    Resolution,
    Series,
    Tower,
    TowerStatistics,
)
from contract.events import format_time
from workers.fetch import Curve, FetchedRun
from workers.sample import Indices, Values, align, best_position, envelope, kept

LOSS = {
    "train": "loss",
    "val": "val_loss",
    "regularization": "regularization_loss",
    "val_regularization": "val_regularization_loss",
    "total": "total_loss",
    "val_total": "val_total_loss",
}
WEIGHT_NORM = {"total": "weight_norm", "query": "query_weight_norm", "candidate": "candidate_weight_norm"}
GRADIENT_NORM = {tower.value: f"{tower}_grad_norm" for tower in Tower}
WEIGHT_STATS = {tower: {name: f"{tower}_weights_{name}" for name in ("mean", "std", "min", "max")} for tower in Tower}
GRADIENT_STATS = {
    tower: {name: f"{tower}_grad_{name}" for name in ("mean", "std", "min", "max", "norm")} for tower in Tower
}
STEM = {HistogramType.WEIGHTS: "hist", HistogramType.GRADIENTS: "grad_hist"}
HISTOGRAM_KEY = re.compile(r"(?:query|candidate)_(?:grad_)?hist_(?:bin_\d+|underflow|overflow)")
FINAL_KEY = re.compile(r"(?:final|test)_.+")
NAMED_KEYS = frozenset(
    [*LOSS.values(), *WEIGHT_NORM.values()]
    + [key for stats in (WEIGHT_STATS, GRADIENT_STATS) for keys in stats.values() for key in keys.values()]
)
MOST_NON_FINITE = 200
"""So many values that are not finite an overview lists; the full resolution lists all."""
SPARKLINE_POINTS = 32


@dataclass(frozen=True)
class Sampling:
    """How an overview is sampled: every ``interval`` epochs, at most ``points`` of them."""

    interval: int
    points: int


class RunDocuments:
    """The documents of one run. All curves share one axis, ``epochs``: the steps that any of them has."""

    def __init__(self, run: FetchedRun, sampling: Sampling, cached_at: datetime) -> None:
        self.run = run
        self._sampling = sampling
        self._cached_at = format_time(cached_at)
        self._curves = {key: curve for key, curve in run.curves.items() if not _is_final(key, curve, run.curves)}
        steps = [curve.steps for curve in self._curves.values()]
        self.epochs: Indices = np.unique(np.concatenate(steps)) if steps else np.zeros(0, dtype=np.int64)

    @cached_property
    def best(self) -> int | None:
        """The position of the best epoch: the least validation loss, or training loss where there is none."""
        return best_position(self._values("val_loss" if "val_loss" in self._curves else "loss"))

    @cached_property
    def final_metrics(self) -> dict[str, float | None]:
        """Metrics that close a run, each by its last value."""
        return {
            key: _number(curve.values[-1]) for key, curve in sorted(self.run.curves.items()) if key not in self._curves
        }

    def entries(self) -> dict[EntryKey, Entry]:
        """Every warm entry of the run, encoded."""
        return {
            key: Entry.encode(document) for resolution in Resolution for key, document in self._documents(resolution)
        }

    def sparkline(self) -> list[float | None]:
        """A few values of the validation loss (training loss where there is none) for lists."""
        positions = kept(len(self.epochs), 1, SPARKLINE_POINTS)
        return _series(self._values("val_loss" if "val_loss" in self._curves else "loss")[positions])

    def history(self, resolution: Resolution) -> History:
        """Curves, final metrics and parameters."""
        positions = self._positions(resolution)

        def series(key: str) -> Series:
            return _series(self._values(key)[positions])

        def group(keys: Mapping[str, str]) -> Any:
            return {name: series(key) for name, key in keys.items()}

        others = [key for key in sorted(self._curves) if key not in NAMED_KEYS and not HISTOGRAM_KEY.fullmatch(key)]
        weight_norm = group(WEIGHT_NORM)
        non_finite = sorted(self._non_finite(), key=lambda item: (item["epoch"], item["metric"]))
        return {
            "available": True,
            "resolution": resolution.value,
            "epochs": self.epochs[positions].tolist(),
            "epochs_total": len(self.epochs),
            "best_epoch": None if self.best is None else int(self.epochs[self.best]),
            "loss": group(LOSS),
            "weight_norm": weight_norm,
            "gradient_norm": group(GRADIENT_NORM),
            "gradient": weight_norm,
            "weight_stats": {tower.value: cast(TowerStatistics, group(WEIGHT_STATS[tower])) for tower in Tower},
            "gradient_stats": {tower.value: cast(TowerStatistics, group(GRADIENT_STATS[tower])) for tower in Tower},
            "metrics": {key: series(key) for key in others},
            "envelope": self._envelopes(positions),
            "non_finite": non_finite if resolution is Resolution.FULL else non_finite[:MOST_NON_FINITE],
            "non_finite_total": len(non_finite),
            "final_metrics": self.final_metrics,
            "params": dict(self.run.params),
            "status": self.run.status,
            "experiment_name": self.run.experiment_name,
            "run_name": self.run.name,
            "start_time": _time(self.run.start_time),
            "end_time": _time(self.run.end_time),
            "cached_at": self._cached_at,
            "mlflow_run_id": self.run.run_id,
            "histogram_available": any(self._bins(type_, tower) for type_ in HistogramType for tower in Tower),
        }

    def histogram(self, type_: HistogramType, tower: Tower, resolution: Resolution) -> Histogram | None:
        """Whole epochs only: those that have every bin, and edges. None where the run has no such histogram."""
        bins = self._bins(type_, tower)
        if not bins:
            return None
        counts = np.stack([self._values(key) for key in bins], axis=1)
        edges = self._edges(type_, tower, len(bins))
        whole = np.logical_and.reduce(np.isfinite(np.hstack([counts, edges])), axis=1)
        if not whole.any():
            return None
        positions = np.array([position for position in self._positions(resolution) if whole[position]], dtype=np.int64)
        stem = f"{tower}_{STEM[type_]}"
        return {
            "available": True,
            "type": type_.value,
            "tower": tower.value,
            "resolution": resolution.value,
            "epochs": self.epochs[positions].tolist(),
            "epochs_total": int(whole.sum()),
            "bin_edges": edges[np.argmax(whole)].tolist(),
            "bin_edges_by_epoch": edges[positions].tolist(),
            "counts": [_counts(row) for row in counts[positions]],
            "underflow": _counts(np.nan_to_num(self._values(f"{stem}_underflow")[positions])),
            "overflow": _counts(np.nan_to_num(self._values(f"{stem}_overflow")[positions])),
            "cached_at": self._cached_at,
            "mlflow_run_id": self.run.run_id,
        }

    def _documents(self, resolution: Resolution) -> Iterator[tuple[EntryKey, History | Histogram]]:
        yield EntryKey.history(self.run.run_id, resolution), self.history(resolution)
        for type_ in HistogramType:
            for tower in Tower:
                if document := self.histogram(type_, tower, resolution):
                    yield EntryKey.histogram(self.run.run_id, type_, tower, resolution), document

    def _positions(self, resolution: Resolution) -> Indices:
        if resolution is Resolution.FULL:
            return np.arange(len(self.epochs))
        return kept(len(self.epochs), self._sampling.interval, self._sampling.points, self.best)

    def _values(self, key: str) -> Values:
        curve = self._curves.get(key)
        if curve is None:
            return np.full(len(self.epochs), np.nan)
        return align(curve.steps, curve.values, self.epochs)

    def _envelopes(self, positions: Indices) -> dict[str, Envelope]:
        if len(positions) == len(self.epochs):
            return {}
        envelopes = {}
        for key in sorted(self._curves):
            if not HISTOGRAM_KEY.fullmatch(key):
                low, high = envelope(self._values(key), positions)
                envelopes[key] = Envelope(min=_series(low), max=_series(high))
        return envelopes

    def _non_finite(self) -> Iterator[NonFinite]:
        for key, curve in self._curves.items():
            for position in np.flatnonzero(~np.isfinite(curve.values)):
                yield {"metric": key, "epoch": int(curve.steps[position]), "kind": _kind(curve.values[position])}

    def _bins(self, type_: HistogramType, tower: Tower) -> list[str]:
        """The metric keys of the bins in order; empty unless the run has all of them up to the highest."""
        prefix = f"{tower}_{STEM[type_]}_bin_"
        numbers = sorted(int(key.removeprefix(prefix)) for key in self._curves if re.fullmatch(prefix + r"\d+", key))
        return [f"{prefix}{number}" for number in numbers] if numbers == list(range(len(numbers))) else []

    def _edges(self, type_: HistogramType, tower: Tower, bins: int) -> Values:
        """(epochs, bins + 1). Weights: equal width from that epoch's minimum to its maximum. Otherwise, and where an
        epoch has neither, the run's parameter; NaN where there is none.
        """
        edges = np.tile(self._edges_of_param(f"{tower}_{STEM[type_]}_bin_edges", bins), (len(self.epochs), 1))
        if type_ is HistogramType.WEIGHTS:
            low, high = self._values(f"{tower}_weights_min"), self._values(f"{tower}_weights_max")
            known = np.isfinite(low) & np.isfinite(high)
            edges[known] = np.linspace(low[known], high[known], bins + 1, axis=1)
        return edges

    def _edges_of_param(self, name: str, bins: int) -> Values:
        try:
            edges = np.array([float(edge) for edge in self.run.params.get(name, "").split(",")])
        except ValueError:
            return np.full(bins + 1, np.nan)
        return edges if len(edges) == bins + 1 else np.full(bins + 1, np.nan)


def _is_final(key: str, curve: Curve, curves: Mapping[str, Curve]) -> bool:
    """Whether a metric closes a run instead of following it: one value, called so or beside longer curves."""
    if len(curve.steps) != 1 or key in NAMED_KEYS or HISTOGRAM_KEY.fullmatch(key):
        return False
    return bool(FINAL_KEY.fullmatch(key)) or any(len(other.steps) > 1 for other in curves.values())


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _series(values: Values) -> Series:
    return [_number(value) for value in values.tolist()]


def _counts(values: Values) -> Series:
    return [int(value) if value.is_integer() else value for value in values.tolist()]


def _kind(value: float) -> Literal["NaN", "Infinity", "-Infinity"]:
    if np.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _time(moment: datetime | None) -> str | None:
    return format_time(moment) if moment else None
