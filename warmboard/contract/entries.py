"""Warm entries: JSON bodies that the workers write, ``store`` keeps, and the webapp sends unchanged.

``contract/examples/entry-*.json`` holds one golden document of every kind. A change of a shape needs a new
SCHEMA_VERSION. It is part of every key, so old and new programs never read each other's entries.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, NotRequired, Self, TypedDict

from warmboard.contract.about import About

SCHEMA_VERSION = 3

Series = list[float | None]
"""One value per entry of ``epochs``; ``None`` if the metric has no such step or the value is not finite."""
Number = float | Literal["NaN", "Infinity", "-Infinity"]
"""A number in strict JSON, which has no NaN and no ±∞."""


class Resolution(StrEnum):
    OVERVIEW = "overview"
    FULL = "full"


class Encoding(StrEnum):
    """The content codings (RFC 9110) of every stored body."""

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
    """A value that is not a JSON number. The series has ``null`` there."""

    metric: str
    epoch: int
    kind: Literal["NaN", "Infinity", "-Infinity"]


NonFiniteSteps = dict[str, dict[Literal["NaN", "Infinity", "-Infinity"], list[int]]]
"""Metric → kind → steps."""


class Envelope(TypedDict):
    """The min and max of one metric: item *i* covers the steps after ``epochs[i-1]``, up to ``epochs[i]``."""

    min: Series
    max: Series


class PointSummary(TypedDict):
    """One point. ``time`` is in milliseconds since 1970 (UTC), as the client gave it."""

    value: Number
    step: int
    time: int


class Summary(TypedDict):
    """One metric in numbers, from all its points, with MLflow's own digits.

    ``last`` is the point with the greatest (step, time, value), as in MLflow, and ``first`` the one with the least.
    ``min`` and ``max`` are of the finite values, each at the first point that has it; null if no value is finite.
    """

    count: int
    first: PointSummary
    last: PointSummary
    min: PointSummary | None
    max: PointSummary | None
    nan: int
    infinity: int
    minus_infinity: int


class Chart(TypedDict):
    """Metrics that are drawn together. A chart of several begins with training, and is titled by what they share."""

    title: str
    section: Literal["training", "system", "other"]
    metrics: list[str]


class Summaries(TypedDict):
    """The summary of every metric of a run, except the parts of histograms. ``unit`` is the word for its steps.

    ``charts`` has every metric with a curve once, what matters most first. ``chunk_of`` has the chunk of each that is
    not in the history. ``replaced`` is the number of points of a metric that are not drawn, if there are any: a later
    one has the same step.
    """

    available: Literal[True]
    unit: Literal["epoch", "step", "point"]
    metrics: dict[str, Summary]
    charts: list[Chart]
    chunk_of: dict[str, int]
    replaced: dict[str, int]
    cached_at: str
    mlflow_run_id: str


class PointList(TypedDict):
    """Points of one metric, as three arrays of the same length, sorted by step. ``timestamps`` are in milliseconds
    since 1970 (UTC).
    """

    steps: list[int]
    timestamps: list[int]
    values: list[Number]


class Insight(TypedDict):
    """A finding about the run, in a sentence.

    ``rule`` names the rule of docs/reference/insights.md that found it. ``epochs`` are the epochs it is about, in
    ascending order: one, or the first and the last of a range.
    """

    rule: str
    severity: Literal["info", "warning", "error"]
    text: str
    metric: str | None
    epochs: list[int]


class History(TypedDict):
    """Curves, parameters and final metrics of one run at one resolution.

    ``epochs`` are the steps of the two-tower catalogue's metrics, or, in a run without those, the steps that most of
    its metrics share. ``metrics`` holds other metrics with the same steps. The ``more_metrics`` that are left are in
    the metric chunks. ``pending_metrics`` is there while so many metrics are still being fetched: these are the first
    charts, without insights. ``timestamps[i]`` is the time of the last value of ``epochs[i]``, in milliseconds
    since 1970 (UTC). ``gradient`` has the values of ``weight_norm``, under its older name. ``envelope`` is keyed by the
    MLflow metric key, and empty if every epoch is kept. ``epochs_total`` is the number of epochs that the run logged;
    ``repeated_steps`` the number of points that a later point of the same step replaced. An overview's values are
    rounded to 8 significant digits; full resolution has MLflow's values. ``unit`` is the word for the steps.

    ``earlier`` are the segments of a metric before its steps began again, oldest first; an overview samples them. Full
    resolution has the points that are not drawn in ``replaced``, by metric, and in ``clocks`` the timestamps of
    metrics that were logged at other times than ``timestamps``: ``clocks[clock_of[key]]``, null where the metric has no
    value. So it has every point of every metric, with its time.

    A run of so many epochs that even full resolution keeps only some of them has ``chunk_of``: the chunk of full
    resolution that has all points of a metric, for every metric of the history and every part of a histogram.
    """

    available: Literal[True]
    resolution: str
    unit: Literal["epoch", "step", "point"]
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
    pending_metrics: NotRequired[int]
    envelope: dict[str, Envelope]
    earlier: dict[str, list[PointList]]
    replaced: dict[str, PointList]
    clocks: list[list[int | None]]
    clock_of: dict[str, int]
    chunk_of: NotRequired[dict[str, int]]
    non_finite: list[NonFinite]
    non_finite_total: int
    non_finite_rest: NotRequired[NonFiniteSteps]
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

    ``bin_edges_by_epoch[i]`` are the true edges of that epoch, one more than there are bins; ``bin_edges`` are those of
    the first epoch. ``underflow`` and ``overflow`` count values outside the edges (zeros if there can't be any).
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
    """One metric of the index: the numbers of its ``Summary``, in short. ``points`` are those that are drawn."""

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
    """Metrics whose keys share the part before the first slash, ``name``; it is empty for keys without a slash."""

    name: str
    metrics: list[MetricSummary]


class MetricIndex(TypedDict):
    """The metrics that are not in the history, and the chunk of each."""

    available: Literal[True]
    groups: list[MetricGroup]
    chunks: int
    cached_at: str
    mlflow_run_id: str


class Axis(TypedDict):
    """The steps of one or several metrics. ``timestamps`` are milliseconds since 1970 (UTC). ``steps_total`` is the
    number of steps that were logged; an overview keeps fewer. If ``counted``, all points have the same step, and
    ``steps`` count them by time, from 0; ``step`` is the one they have.
    """

    steps: list[int]
    timestamps: list[int]
    steps_total: int
    counted: bool
    step: NotRequired[int]


class ChunkMetric(TypedDict):
    """One value per step of ``axes[axis]``. If sampled, ``min`` and ``max`` are an envelope as in the history.
    ``earlier`` and ``replaced`` are there if the metric has such points, as in the history.
    """

    axis: int
    values: Series
    min: NotRequired[Series]
    max: NotRequired[Series]
    earlier: NotRequired[list[PointList]]
    replaced: NotRequired[PointList]


class MetricChunk(TypedDict):
    """Some metrics that are neighbours in the order of the charts, which begins in chunk 0. Each has an axis, which
    several may share.
    """

    available: Literal[True]
    resolution: str
    chunk: int
    axes: list[Axis]
    metrics: dict[str, ChunkMetric]
    non_finite: list[NonFinite]
    non_finite_total: int
    non_finite_rest: NotRequired[NonFiniteSteps]
    cached_at: str
    mlflow_run_id: str


Document = History | Histogram | MetricIndex | MetricChunk | Summaries | About


@dataclass(frozen=True)
class EntryKey:
    """The key of one warm entry. ``name`` is ``history``, ``histogram-{type}-{tower}``, ``metric-chunk-{number}``, or
    one of those that are always an overview: ``metric-index``, ``summaries`` and ``about``.
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
    def summaries(cls, run_id: str) -> Self:
        return cls(run_id, "summaries", Resolution.OVERVIEW)

    @classmethod
    def about(cls, run_id: str) -> Self:
        return cls(run_id, "about", Resolution.OVERVIEW)

    @classmethod
    def metric_chunk(cls, run_id: str, chunk: int, resolution: Resolution) -> Self:
        return cls(run_id, f"metric-chunk-{chunk}", resolution)

    def __str__(self) -> str:
        """Return the start of the entry's keys in Redis."""
        return f"warmboard:entry:v{SCHEMA_VERSION}:{self.run_id}:{self.name}:{self.resolution}"


@dataclass(frozen=True)
class Body:
    """One entry in one content coding, ready to send. ``etag`` (hexadecimal, unquoted) is of the JSON."""

    data: bytes = field(repr=False)
    etag: str


@dataclass(frozen=True)
class Entry:
    """A document ready to send: strict JSON, compressed in every coding, with the ETag of its content (hexadecimal,
    unquoted). ``workers/documents/encoding.py`` writes them.
    """

    gzip: bytes = field(repr=False)
    zstd: bytes = field(repr=False)
    etag: str

    def body(self, encoding: Encoding) -> Body:
        return Body(self.gzip if encoding is Encoding.GZIP else self.zstd, self.etag)

    def text(self) -> bytes:
        """Return the JSON, not compressed."""
        return gzip.decompress(self.gzip)

    def decode(self) -> dict[str, Any]:
        """Return the document, for programs that look inside. The webapp's read path never does."""
        document: dict[str, Any] = json.loads(self.text())
        return document
