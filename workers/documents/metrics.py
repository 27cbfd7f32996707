"""Build the metric index and the metric chunks from metrics that don't fit a run's epochs.

Each metric has its own axis, so runs of any framework can be warmed: metrics by step, by epoch, or by sample, as
MLflow's system metrics are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NotRequired, TypedDict

import numpy as np

from warmboard.contract.entries import (
    Axis,
    ChunkMetric,
    EntryKey,
    MetricChunk,
    MetricGroup,
    MetricIndex,
    MetricSummary,
    PointList,
    Resolution,
)
from workers.documents.partition import Curves
from workers.documents.sample import Sampling, envelope, kept
from workers.documents.series import Gaps, integers, number, point_list, series
from workers.history.drawing import Curve
from workers.history.points import Indices

CHUNK_METRICS = 40
CHUNK_POINTS = 1_000_000
"""A chunk ends before it exceeds either limit. A metric with more points has its own chunk."""


class Members(TypedDict):
    chunk_of: NotRequired[dict[str, int]]


@dataclass(frozen=True)
class MetricDocuments:
    """Index and chunks of ``curves``, which are in the order of the charts. Neither exists without curves.

    ``begin`` is the number of the first chunk.
    """

    run_id: str
    curves: Curves = field(repr=False)
    sampling: Sampling
    cached_at: str
    begin: int = 0

    @property
    def chunk_of(self) -> dict[str, int]:
        """The chunk of each metric."""
        return {key: number_ for number_, chunk in enumerate(_chunks(self.curves), self.begin) for key in chunk}

    def members(self) -> Members:
        """What the history has of chunks with all points of its own metrics."""
        return {"chunk_of": self.chunk_of} if self.curves else {}

    def chunks(self, resolution: Resolution) -> Iterator[tuple[EntryKey, MetricChunk]]:
        for number_, chunk in enumerate(_chunks(self.curves), self.begin):
            yield EntryKey.metric_chunk(self.run_id, number_, resolution), self._chunk(number_, chunk, resolution)

    def documents(self, resolution: Resolution) -> Iterator[tuple[EntryKey, MetricIndex | MetricChunk]]:
        """The chunks at one resolution; with those of the overview, the index."""
        chunks = list(_chunks(self.curves))
        if chunks and resolution is Resolution.OVERVIEW:
            yield EntryKey.metric_index(self.run_id), self._index(chunks)
        yield from self.chunks(resolution)

    def _index(self, chunks: list[Curves]) -> MetricIndex:
        groups: dict[str, list[MetricSummary]] = {}
        for number_, chunk in enumerate(chunks):
            for key, curve in chunk.items():
                groups.setdefault(group_of(key), []).append(_summary(key, number_, curve))
        return {
            "available": True,
            "groups": [MetricGroup(name=name, metrics=metrics) for name, metrics in groups.items()],
            "chunks": len(chunks),
            "cached_at": self.cached_at,
            "mlflow_run_id": self.run_id,
        }

    def _chunk(self, number_: int, curves: Curves, resolution: Resolution) -> MetricChunk:
        axes = _Axes(self.sampling, resolution)
        metrics = {key: axes.add(curve) for key, curve in curves.items()}
        gaps = Gaps.of(curves, resolution)
        return {
            "available": True,
            "resolution": resolution.value,
            "chunk": number_,
            "axes": axes.axes,
            "metrics": metrics,
            **gaps.members(),
            "cached_at": self.cached_at,
            "mlflow_run_id": self.run_id,
        }


class _Axes:
    """The axes of one chunk. Metrics logged together share an axis."""

    def __init__(self, sampling: Sampling, resolution: Resolution) -> None:
        self._sampling, self._resolution = sampling, resolution
        self._numbers: dict[tuple[bytes, bytes, int | None], int] = {}
        self._positions: list[Indices] = []
        self.axes: list[Axis] = []

    def add(self, curve: Curve) -> ChunkMetric:
        axis = self._axis(curve)
        positions = self._positions[axis]
        metric: ChunkMetric = {"axis": axis, "values": series(curve.values[positions], self._resolution)}
        if len(positions) < len(curve.steps):
            low, high = envelope(curve.values, positions)
            metric["min"], metric["max"] = series(low, self._resolution), series(high, self._resolution)
        if curve.earlier:
            metric["earlier"] = earlier_segments(curve, self._resolution, self._sampling)
        if curve.replaced and self._resolution is Resolution.FULL:
            metric["replaced"] = point_list(curve.replaced, self._resolution)
        return metric

    def _axis(self, curve: Curve) -> int:
        name = (curve.steps.tobytes(), curve.timestamps.tobytes(), curve.counted_at)
        if name not in self._numbers:
            self._numbers[name] = len(self.axes)
            positions = self._kept(len(curve.steps))
            self._positions.append(positions)
            axis: Axis = {
                "steps": integers(curve.steps[positions]),
                "timestamps": integers(curve.timestamps[positions]),
                "steps_total": len(curve.steps),
                "counted": curve.is_counted,
            }
            if curve.counted_at is not None:
                axis["step"] = curve.counted_at
            self.axes.append(axis)
        return self._numbers[name]

    def _kept(self, length: int) -> Indices:
        if self._resolution is Resolution.FULL:
            return np.arange(length)
        # Steps may have any unit, so there is no interval: the point budget alone decides.
        return kept(length, 1, self._sampling.points)


def group_of(key: str) -> str:
    """The group of a metric key: ``system`` for ``system/cpu``, empty for a key without a slash."""
    group, slash, _ = key.partition("/")
    return group if slash else ""


def _chunks(curves: Curves) -> Iterator[Curves]:
    """Split curves into chunks, in their order."""
    chunk: Curves = {}
    points = 0
    for key, curve in curves.items():
        length = len(curve.steps)
        if chunk and (len(chunk) == CHUNK_METRICS or points + length > CHUNK_POINTS):
            yield chunk
            chunk, points = {}, 0
        chunk[key] = curve
        points += length
    if chunk:
        yield chunk


def earlier_segments(curve: Curve, resolution: Resolution, sampling: Sampling) -> list[PointList]:
    """The segments before the steps began again, oldest first. An overview keeps the points of its budget."""
    segments = curve.earlier
    if resolution is Resolution.OVERVIEW:
        segments = tuple(points.at(kept(len(points), 1, sampling.points)) for points in segments)
    return [point_list(points, resolution) for points in segments]


def _summary(key: str, chunk: int, curve: Curve) -> MetricSummary:
    finite = curve.values[np.isfinite(curve.values)]
    return {
        "key": key,
        "chunk": chunk,
        "points": len(curve.steps),
        "first_step": int(curve.steps[0]),
        "last_step": int(curve.steps[-1]),
        "last": number(curve.values[-1]),
        "min": number(finite.min()) if len(finite) else None,
        "max": number(finite.max()) if len(finite) else None,
        "non_finite": len(curve.values) - len(finite),
    }
