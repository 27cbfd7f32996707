"""Warm entries: the finished JSON bodies that workers write and the web application hands out as they are.

Written by the workers, read by the webapp, kept by ``store``. ``contract/examples/entry-*.json`` holds one golden
document of every kind. A change of a shape takes a new SCHEMA_VERSION: it is part of every key, so that old and new
programs never read each other's entries.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, NotRequired, Self, TypedDict

SCHEMA_VERSION = 2

Series = list[float | None]
"""One value per entry of ``epochs``; ``None`` where the metric has no such step or the value is not finite."""


class Resolution(StrEnum):
    OVERVIEW = "overview"
    FULL = "full"


class Encoding(StrEnum):
    """The content codings (RFC 9110) in which every body is kept."""

    GZIP = "gzip"
    ZSTD = "zstd"


class HistogramType(StrEnum):
    WEIGHTS = "weights"
    GRADIENTS = "gradients"


class Tower(StrEnum):
    QUERY = "query"
    CANDIDATE = "candidate"


class LossSeries(TypedDict):
    train: Series
    val: Series
    regularization: Series
    val_regularization: Series
    total: Series
    val_total: Series


class Norms(TypedDict):
    total: Series
    query: Series
    candidate: Series


class TowerStatistics(TypedDict):
    mean: Series
    std: Series
    min: Series
    max: Series
    norm: NotRequired[Series]


class NonFinite(TypedDict):
    """A value that JSON has no number for: the series holds ``null`` there."""

    metric: str
    epoch: int
    kind: Literal["NaN", "Infinity", "-Infinity"]


class Envelope(TypedDict):
    """Extremes of one metric: item *i* covers the steps after ``epochs[i-1]``, up to ``epochs[i]``."""

    min: Series
    max: Series


class Insight(TypedDict):
    """A plain statement about the run. ``rule`` names the rule of docs/reference/insights.md that found it; ``epochs``
    are those that it speaks of, ascending: one, or the first and the last of a stretch.
    """

    rule: str
    severity: Literal["info", "warning", "error"]
    text: str
    metric: str | None
    epochs: list[int]


class History(TypedDict):
    """Curves, parameters and final metrics of one run at one resolution.

    ``epochs`` are the steps of the two-tower catalogue's metrics; in a run that has none of them, the steps that most
    of its metrics share. ``metrics`` holds other metrics on these epochs; all that have no place there are in the
    metric chunks, ``more_metrics`` in number. ``timestamps[i]`` is when the last value of ``epochs[i]`` was logged, in
    milliseconds since 1970 (UTC). ``gradient`` carries the values of ``weight_norm`` under its older name. ``envelope``
    is keyed by the MLflow metric key and is empty where every epoch is kept. ``epochs_total`` is the number of epochs
    that the run logged, ``repeated_steps`` the number of points that gave way to a later one of the same step.
    An overview's values are rounded to 8 significant digits; full resolution has them as MLflow has.
    """

    available: Literal[True]
    resolution: str
    epochs: list[int]
    epochs_total: int
    timestamps: list[int]
    best_epoch: int | None
    insights: list[Insight]
    loss: LossSeries
    weight_norm: Norms
    gradient_norm: dict[str, Series]
    gradient: Norms
    weight_stats: dict[str, TowerStatistics]
    gradient_stats: dict[str, TowerStatistics]
    metrics: dict[str, Series]
    more_metrics: int
    envelope: dict[str, Envelope]
    non_finite: list[NonFinite]
    non_finite_total: int
    repeated_steps: int
    final_metrics: dict[str, float | None]
    params: dict[str, str]
    tags: dict[str, str]
    status: str
    experiment_name: str
    run_name: str
    start_time: str | None
    end_time: str | None
    cached_at: str
    mlflow_run_id: str
    histogram_available: bool


class Histogram(TypedDict):
    """Bin counts of one tower's weights or gradients: ``counts[i][b]`` is bin *b* of ``epochs[i]``.

    ``bin_edges_by_epoch[i]`` are the true edges of that epoch, one more than bins; ``bin_edges`` those of the first.
    ``underflow`` and ``overflow`` count what lay outside the edges (zeros where nothing can).
    """

    available: Literal[True]
    type: str
    tower: str
    resolution: str
    epochs: list[int]
    epochs_total: int
    bin_edges: list[float]
    bin_edges_by_epoch: list[list[float]]
    counts: list[Series]
    underflow: Series
    overflow: Series
    cached_at: str
    mlflow_run_id: str


class MetricSummary(TypedDict):
    """One metric of the index. ``min`` and ``max`` are of its finite values."""

    key: str
    chunk: int
    points: int
    first_step: int
    last_step: int
    last: float | None
    min: float | None
    max: float | None
    non_finite: int


class MetricGroup(TypedDict):
    """Metrics whose keys begin alike, up to the first slash; ``name`` is empty for those without one."""

    name: str
    metrics: list[MetricSummary]


class MetricIndex(TypedDict):
    """Which metrics there are besides those of the history, and in which chunk each of them is."""

    available: Literal[True]
    groups: list[MetricGroup]
    chunks: int
    cached_at: str
    mlflow_run_id: str


class Axis(TypedDict):
    """Where metrics have their points: ``timestamps`` are milliseconds since 1970 (UTC). ``steps_total`` is the number
    of steps logged; an overview keeps fewer.
    """

    steps: list[int]
    timestamps: list[int]
    steps_total: int


class ChunkMetric(TypedDict):
    """One value per step of ``axes[axis]``. ``min`` and ``max``, in sampled ones, are an envelope as in the history."""

    axis: int
    values: Series
    min: NotRequired[Series]
    max: NotRequired[Series]


class MetricChunk(TypedDict):
    """Some metrics, neighbours in the index, each on its own axis, which several may share."""

    available: Literal[True]
    resolution: str
    chunk: int
    axes: list[Axis]
    metrics: dict[str, ChunkMetric]
    non_finite: list[NonFinite]
    non_finite_total: int
    cached_at: str
    mlflow_run_id: str


Document = History | Histogram | MetricIndex | MetricChunk


@dataclass(frozen=True)
class EntryKey:
    """Names one warm entry: ``history``, ``histogram-{type}-{tower}``, ``metric-index`` (an overview) or
    ``metric-chunk-{number}``.
    """

    run_id: str
    name: str
    resolution: Resolution

    @classmethod
    def history(cls, run_id: str, resolution: Resolution) -> Self:
        return cls(run_id, "history", resolution)

    @classmethod
    def histogram(cls, run_id: str, type_: HistogramType, tower: Tower, resolution: Resolution) -> Self:
        return cls(run_id, f"histogram-{type_}-{tower}", resolution)

    @classmethod
    def metric_index(cls, run_id: str) -> Self:
        return cls(run_id, "metric-index", Resolution.OVERVIEW)

    @classmethod
    def metric_chunk(cls, run_id: str, chunk: int, resolution: Resolution) -> Self:
        return cls(run_id, f"metric-chunk-{chunk}", resolution)

    def __str__(self) -> str:
        """The start of its keys in Redis."""
        return f"warmboard:entry:v{SCHEMA_VERSION}:{self.run_id}:{self.name}:{self.resolution}"


@dataclass(frozen=True)
class Body:
    """One entry in one content coding, ready for the wire. ``etag`` (hexadecimal, unquoted) is of the JSON."""

    data: bytes = field(repr=False)
    etag: str


@dataclass(frozen=True)
class Entry:
    """A document ready for the wire: strict JSON, compressed in every coding, with the ETag of its content
    (hexadecimal, unquoted). ``workers/documents/encoding.py`` makes them.
    """

    gzip: bytes = field(repr=False)
    zstd: bytes = field(repr=False)
    etag: str

    def body(self, encoding: Encoding) -> Body:
        return Body(self.gzip if encoding is Encoding.GZIP else self.zstd, self.etag)

    def text(self) -> bytes:
        """The JSON, not compressed."""
        return gzip.decompress(self.gzip)

    def decode(self) -> dict[str, Any]:
        """The document; for programs that look inside. The webapp's read path never does."""
        document: dict[str, Any] = json.loads(self.text())
        return document
