"""Warm entries: the finished JSON bodies that workers write and the web application hands out as they are.

Written by the workers, read by the webapp, kept by ``store``. ``contract/examples/entry-*.json`` holds one golden
document of every kind. A change of a shape takes a new SCHEMA_VERSION: it is part of every key, so that old and new
programs never read each other's entries.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, NotRequired, Self, TypedDict

SCHEMA_VERSION = 1

Series = list[float | None]
"""One value per entry of ``epochs``; ``None`` where the metric has no such step or the value is not finite."""


class Resolution(StrEnum):
    OVERVIEW = "overview"
    FULL = "full"


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


class History(TypedDict):
    """Curves, parameters and final metrics of one run at one resolution.

    ``gradient`` carries the values of ``weight_norm`` under its older name. ``envelope`` is keyed by the MLflow metric
    key and is empty where every epoch is kept. ``epochs_total`` is the number of epochs that the run logged.
    """

    available: Literal[True]
    resolution: str
    epochs: list[int]
    epochs_total: int
    best_epoch: int | None
    loss: LossSeries
    weight_norm: Norms
    gradient_norm: dict[str, Series]
    gradient: Norms
    weight_stats: dict[str, TowerStatistics]
    gradient_stats: dict[str, TowerStatistics]
    metrics: dict[str, Series]
    envelope: dict[str, Envelope]
    non_finite: list[NonFinite]
    non_finite_total: int
    final_metrics: dict[str, float | None]
    params: dict[str, str]
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


@dataclass(frozen=True)
class EntryKey:
    """Names one warm entry. ``name`` is ``history`` or ``histogram-{type}-{tower}``."""

    run_id: str
    name: str
    resolution: Resolution

    @classmethod
    def history(cls, run_id: str, resolution: Resolution) -> Self:
        return cls(run_id, "history", resolution)

    @classmethod
    def histogram(cls, run_id: str, type_: HistogramType, tower: Tower, resolution: Resolution) -> Self:
        return cls(run_id, f"histogram-{type_}-{tower}", resolution)

    def __str__(self) -> str:
        """The key in Redis."""
        return f"warmboard:entry:v{SCHEMA_VERSION}:{self.run_id}:{self.name}:{self.resolution}"


@dataclass(frozen=True)
class Entry:
    """A document ready for the wire: strict JSON, gzipped, with the ETag of its content (hexadecimal, unquoted)."""

    body: bytes
    etag: str

    @classmethod
    def encode(cls, document: History | Histogram) -> Self:
        """Raises ValueError for NaN and infinity: strict JSON has neither."""
        text = json.dumps(document, allow_nan=False, separators=(",", ":"), ensure_ascii=False).encode()
        # No time stamp in the gzip header: equal documents give equal bytes.
        return cls(body=gzip.compress(text, 6, mtime=0), etag=hashlib.sha256(text).hexdigest()[:32])

    def text(self) -> bytes:
        """The JSON, not compressed."""
        return gzip.decompress(self.body)

    def decode(self) -> dict[str, Any]:
        """The document; for programs that look inside. The webapp's read path never does."""
        document: dict[str, Any] = json.loads(self.text())
        return document
