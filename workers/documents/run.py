"""Build a fetched run's documents, as warmboard/contract/entries.py describes them, at both resolutions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import cached_property
from typing import Any, NotRequired, TypedDict

import numpy as np

from warmboard.contract.catalogue import arrange, is_histogram, is_named
from warmboard.contract.cloudevents import format_time
from warmboard.contract.entries import (
    Document,
    Entry,
    EntryKey,
    Envelope,
    History,
    PointList,
    Resolution,
    Summaries,
    Summary,
)
from workers.documents.about import about, parent_of
from workers.documents.encoding import encode
from workers.documents.histograms import HistogramDocuments
from workers.documents.metrics import MetricDocuments, earlier_segments
from workers.documents.partition import Partition
from workers.documents.sample import Sampling, best_position, envelope, kept
from workers.documents.series import Gaps, integers, number, point_list, series, series_of
from workers.history.drawing import Curve
from workers.history.fetched import FetchedRun
from workers.history.points import Indices, Values
from workers.history.roles import judge_of, pairs_of
from workers.history.unit import Unit, unit_of
from workers.insights.rules import insights

MOST_CELLS = 20_000_000
"""The max number of values in a full history (160 MB). Metrics without a place of their own are in chunks instead; if
those with one are too many, the history is sampled, with an envelope, like an overview, and all points of its metrics
are in chunks too.
"""
SAMPLED_CELLS = 2_000_000
"""The max number of values in a full history that is sampled: what a browser still draws."""
SPARKLINE_POINTS, SPARKLINE_DIGITS = 32, 4
LONGEST_TAG = 250
"""In characters. Longer tags are in the document ``about``."""
SUMMARY_METRICS = 100


class Pending(TypedDict):
    """What a history has of metrics that are still being fetched."""

    pending_metrics: NotRequired[int]


class RunDocuments:
    """The documents of one run. All curves of its history share one axis, ``epochs``."""

    def __init__(self, run: FetchedRun, sampling: Sampling, cached_at: datetime) -> None:
        self.run = run
        self._sampling = sampling
        self._cached_at = format_time(cached_at)
        self._partition = Partition.of(run.curves, MOST_CELLS)
        self._curves = self._partition.curves
        self.epochs: Indices = self._partition.epochs
        self._metrics = MetricDocuments(run.run_id, self._partition.others, sampling, self._cached_at)
        sampled = self._curves if len(self._positions(Resolution.FULL)) < len(self.epochs) else {}
        chunks = max(self._metrics.chunk_of.values(), default=-1) + 1
        self._whole = MetricDocuments(run.run_id, sampled, sampling, self._cached_at, begin=chunks)
        self._histograms = HistogramDocuments(run, self._partition, sampling, self._cached_at)

    def entries(self) -> dict[EntryKey, Entry]:
        """Every warm entry of the run, encoded. Only one document at a time is in memory."""
        return {key: encode(document) for resolution in Resolution for key, document in self._documents(resolution)}

    @cached_property
    def best(self) -> int | None:
        """The position of the best epoch: the one with the min validation loss (training loss if there is none)."""
        return best_position(self._values(self._judged_by))

    @cached_property
    def final_metrics(self) -> dict[str, float | None]:
        """Metrics with a single value, by key. None for NaN and ±∞."""
        return {key: number(curve.values[-1]) for key, curve in self._partition.finals.items()}

    @property
    def summary_metrics(self) -> dict[str, float | None]:
        """The final metrics that lists show and search, `final_` and `test_` first; at most SUMMARY_METRICS."""
        ordered = sorted(self.final_metrics, key=lambda key: (not key.startswith(("final_", "test_")), key))
        return {key: self.final_metrics[key] for key in ordered[:SUMMARY_METRICS]}

    @property
    def parent(self) -> str:
        """The ID of the run's parent; empty without one."""
        return parent_of(self.run.tags)

    @cached_property
    def unit(self) -> Unit:
        return unit_of(self.run.curves, self.run.params)

    @property
    def length(self) -> int:
        """How many epochs, steps or points the run has: as many as its history, or its first chart if that has metrics
        with more. The page says the same (``charts/specs.js``).
        """
        charts = self._partition.charts
        if self.unit == "epoch" or not charts:
            return len(self.epochs)
        apart = [key for key in charts[0]["metrics"] if key in self._metrics.chunk_of]
        return max([len(self.epochs), *(self.summary[key]["count"] for key in apart)])

    @cached_property
    def summary(self) -> dict[str, Summary]:
        """The numbers of every metric, sorted by key. The parts of histograms have none."""
        points = self.run.points
        return {key: points[key].summary() for key in sorted(points) if len(points[key]) and not is_histogram(key)}

    def summaries(self) -> Summaries:
        return {
            "available": True,
            "unit": self.unit,
            "metrics": self.summary,
            "charts": self._partition.charts,
            "chunk_of": self._metrics.chunk_of,
            "replaced": {key: len(curve.replaced) for key, curve in self.run.curves.items() if curve.replaced},
            "cached_at": self._cached_at,
            "mlflow_run_id": self.run.run_id,
        }

    def sparkline(self) -> list[float | None]:
        """A few values of the loss that leads, for lists: validation loss, or training loss if there is none."""
        curves = self.run.curves
        leading = judge_of(curves, pairs_of(curves))
        if leading is None:
            return []
        values = curves[leading].values
        values = values[kept(len(values), 1, SPARKLINE_POINTS)]
        return [number(float(f"{value:.{SPARKLINE_DIGITS}g}")) for value in values.tolist()]

    def history(self, resolution: Resolution) -> History:
        """The history document: curves, final metrics, parameters and tags."""
        positions = self._positions(resolution)

        # Most runs lack most of the catalogue's curves: one array for all of these.
        none = series(np.full(len(positions), np.nan), resolution)
        shown = [key for key in self._curves if not is_histogram(key)]
        found = series_of({key: self._kept(key, positions) for key in shown}, resolution)
        named = arrange(lambda key: found.get(key, none))
        clocks, clock_of = self._clocks(positions, resolution)
        gaps = Gaps.of(self._curves, resolution)
        return {
            "available": True,
            "resolution": resolution.value,
            "unit": self.unit,
            "epochs": integers(self.epochs[positions]),
            "epochs_total": len(self.epochs),
            "timestamps": integers(self._timestamps[positions]),
            "best_epoch": None if self.best is None else int(self.epochs[self.best]),
            "insights": self._insights,
            "loss": named["loss"],
            "weight_norm": named["weight_norm"],
            "gradient_norm": named["gradient_norm"],
            "gradient": named["gradient"],
            "weight_stats": named["weight_stats"],
            "gradient_stats": named["gradient_stats"],
            "metrics": {key: found[key] for key in shown if not is_named(key)},
            "more_metrics": len(self._partition.others),
            "envelope": self._envelopes(positions, resolution),
            "earlier": {
                key: earlier_segments(curve, resolution, self._sampling)
                for key, curve in self._curves.items()
                if curve.earlier
            },
            "replaced": self._replaced(resolution),
            "clocks": clocks,
            "clock_of": clock_of,
            **gaps.members(),
            **self._whole.members(),
            **_pending(self.run),
            "repeated_steps": sum(len(curve.replaced or ()) for curve in self.run.curves.values()),
            "final_metrics": self.final_metrics,
            "params": dict(self.run.params),
            "tags": {key: value for key, value in self.run.tags.items() if len(value) <= LONGEST_TAG},
            "status": self.run.status,
            "experiment_name": self.run.experiment_name,
            "run_name": self.run.name,
            "start_time": _time(self.run.start_time),
            "end_time": _time(self.run.end_time),
            "cached_at": self._cached_at,
            "mlflow_run_id": self.run.run_id,
            "histogram_available": self._histograms.available,
        }

    def _documents(self, resolution: Resolution) -> Iterator[tuple[EntryKey, Document]]:
        yield EntryKey.history(self.run.run_id, resolution), self.history(resolution)
        yield from self._histograms.documents(resolution, self._positions(resolution))
        if resolution is Resolution.OVERVIEW:
            yield EntryKey.summaries(self.run.run_id), self.summaries()
            yield EntryKey.about(self.run.run_id), about(self.run, self._cached_at)
        yield from self._metrics.documents(resolution)
        if resolution is Resolution.FULL:
            yield from self._whole.chunks(resolution)

    @cached_property
    def _insights(self) -> list[Any]:
        """None of a run that is not whole: what is missing may be the reason of what they find."""
        return [] if self.run.pending else insights(self.run.curves, self.unit)

    @cached_property
    def _judged_by(self) -> str:
        """The metric that judges epochs. The insights name the best epoch of the same metric."""
        return judge_of(self._curves, pairs_of(self._curves)) or "loss"

    @cached_property
    def _timestamps(self) -> Indices:
        """When each epoch's last value was logged."""
        latest = np.zeros(len(self.epochs), dtype=np.int64)
        for curve in {_arrays(curve): curve for curve in self._curves.values()}.values():
            if len(curve.steps) == len(latest):
                np.maximum(latest, curve.timestamps, out=latest)
            else:
                places = np.searchsorted(self.epochs, curve.steps)
                latest[places] = np.maximum(latest[places], curve.timestamps)
        return latest

    def _positions(self, resolution: Resolution) -> Indices:
        length = len(self.epochs)
        if resolution is Resolution.OVERVIEW:
            return kept(length, self._sampling.interval, self._sampling.points, self.best)
        curves = max(len(self._curves), 1)
        if length <= MOST_CELLS // curves:
            return np.arange(length)
        return kept(length, 1, min(SAMPLED_CELLS, MOST_CELLS) // curves, self.best)

    def _replaced(self, resolution: Resolution) -> dict[str, PointList]:
        if resolution is not Resolution.FULL:
            return {}
        return {key: point_list(curve.replaced, resolution) for key, curve in self._curves.items() if curve.replaced}

    def _clocks(self, positions: Indices, resolution: Resolution) -> tuple[list[list[int | None]], dict[str, int]]:
        """The timestamps of metrics that were logged at other times than ``timestamps`` says, each clock once."""
        clocks: dict[tuple[bytes, bytes], int] = {}
        found: list[list[int | None]] = []
        clock_of: dict[str, int] = {}
        usual: set[tuple[int, int]] = set()
        for key, curve in self._curves.items() if resolution is Resolution.FULL else ():
            if _arrays(curve) in usual:
                continue
            places = np.searchsorted(self.epochs, curve.steps)
            if np.array_equal(self._timestamps[places], curve.timestamps):
                usual.add(_arrays(curve))
                continue
            name = (curve.steps.tobytes(), curve.timestamps.tobytes())
            if name not in clocks:
                clocks[name] = len(found)
                times: list[int | None] = [None] * len(self.epochs)
                for place, time in zip(places.tolist(), curve.timestamps.tolist(), strict=True):
                    times[place] = time
                found.append([times[position] for position in positions.tolist()])
            clock_of[key] = clocks[name]
        return found, clock_of

    def _kept(self, key: str, positions: Indices) -> Values:
        values = self._values(key)
        return values if len(positions) == len(values) else values[positions]

    def _values(self, key: str) -> Values:
        return self._partition.values(key)

    def _envelopes(self, positions: Indices, resolution: Resolution) -> dict[str, Envelope]:
        if len(positions) == len(self.epochs):
            return {}
        found = {key: envelope(self._values(key), positions) for key in self._curves if not is_histogram(key)}
        low = series_of({key: low for key, (low, _) in found.items()}, resolution)
        high = series_of({key: high for key, (_, high) in found.items()}, resolution)
        return {key: Envelope(min=low[key], max=high[key]) for key in found}


def _arrays(curve: Curve) -> tuple[int, int]:
    """Equal for metrics that were logged together: they share both arrays."""
    return id(curve.steps), id(curve.timestamps)


def _pending(run: FetchedRun) -> Pending:
    return {"pending_metrics": run.pending} if run.pending else {}


def _time(moment: datetime | None) -> str | None:
    return format_time(moment) if moment else None
