"""Read a whole run from its warm entries: the history, the metric chunks and, if wanted, the bins of histograms."""

from __future__ import annotations

import gzip
import json
from collections.abc import Collection, Mapping
from typing import Any

from store import warm
from warmboard.contract.catalogue import binned_series, named_series
from warmboard.contract.entries import Axis, Encoding, EntryKey, HistogramType, Resolution, Series, Tower
from webapp.exports.table import Column, WholeRun

ATTEMPTS = 3
Document = dict[str, Any]


class Changing(Exception):
    """The run was warmed again during each attempt to read its entries."""


class UnknownMetric(Exception):
    """The run has no such metric. ``known`` are its metrics."""

    def __init__(self, key: str, known: Collection[str]) -> None:
        super().__init__(f"this run has no metric {key!r}")
        self.known = sorted(known)


def whole_run(run_id: str, wanted: Collection[str] | None = None, with_bins: bool = False) -> WholeRun | None:
    """All metrics of the run, or those ``wanted``, in that order; None if the run is not warm.

    Raises UnknownMetric if the run lacks a wanted metric, and Changing if it is warmed during each of ATTEMPTS reads.
    """
    for _ in range(ATTEMPTS):
        first = _documents([EntryKey.history(run_id, Resolution.FULL), EntryKey.metric_index(run_id)])
        history = first.pop("history", None)
        if history is None:
            return None
        chunks = _chunks(first)
        needed = sorted({chunk for key, chunk in chunks.items() if wanted is None or key in wanted})
        keys = [EntryKey.metric_chunk(run_id, number, Resolution.FULL) for number in needed]
        if with_bins:
            keys += [_histogram(run_id, type_, tower) for type_ in HistogramType for tower in Tower]
        others = _documents(keys)
        # Entries of one warming have the same time. Every warming numbers the chunks again.
        if {document["cached_at"] for document in (*first.values(), *others.values())} <= {history["cached_at"]}:
            run = _Gathered(history, others.values()).run
            return run if wanted is None else _chosen(run, wanted, {*run.keys(), *chunks})
    raise Changing


class _Gathered:
    """Gathers the metrics of all documents in ``run``, without those that were never logged."""

    def __init__(self, history: Document, others: Collection[Document]) -> None:
        self.run = WholeRun(history)
        times = dict(zip(history["epochs"], history["timestamps"], strict=True))
        self._note_gaps(history)
        self._add(_axis(history["epochs"], times), named_series(history) | history["metrics"])
        for document in others:
            if "axes" in document:
                self._add_chunk(document)
            else:
                self._add(_axis(document["epochs"], times), binned_series(document))
        finals = history["final_metrics"].items()
        self.run.finals = {key: value for key, value in finals if key not in self.run.columns}

    def _add_chunk(self, chunk: Document) -> None:
        self._note_gaps(chunk)
        for key, metric in chunk["metrics"].items():
            self._add(chunk["axes"][metric["axis"]], {key: metric["values"]})

    def _add(self, axis: Axis, metrics: Mapping[str, Series]) -> None:
        listed = {gap["metric"] for gap in self.run.non_finite}
        for key, values in metrics.items():
            if key in listed or any(value is not None for value in values):
                self.run.columns[key] = Column(self._place(axis), values)

    def _note_gaps(self, document: Document) -> None:
        self.run.non_finite += document["non_finite"]
        self.run.unlisted += document["non_finite_total"] - len(document["non_finite"])

    def _place(self, axis: Axis) -> int:
        """The index of the axis, which metrics of several documents may share."""
        if axis not in self.run.axes:
            self.run.axes.append(axis)
        return self.run.axes.index(axis)


def _axis(epochs: list[int], times: Mapping[int, int]) -> Axis:
    return {
        "steps": epochs,
        "timestamps": [times[epoch] for epoch in epochs],
        "steps_total": len(epochs),
        "counted": False,
    }


def _chosen(run: WholeRun, wanted: Collection[str], known: Collection[str]) -> WholeRun:
    """The run with only the metrics ``wanted``. Raises UnknownMetric for one that is not ``known``."""
    for key in wanted:
        if key not in known:
            raise UnknownMetric(key, known)
    columns = {key: run.columns[key] for key in wanted if key in run.columns}
    used = sorted({column.axis for column in columns.values()})
    return WholeRun(
        run.history,
        [run.axes[axis] for axis in used],
        {key: Column(used.index(column.axis), column.values) for key, column in columns.items()},
        {key: run.finals[key] for key in wanted if key in run.finals},
        [gap for gap in run.non_finite if gap["metric"] in columns],
        run.unlisted,
    )


def _documents(keys: Collection[EntryKey]) -> dict[str, Document]:
    """The warm documents by the name of their entry, in the order of the keys."""
    found = warm.get_many(keys, Encoding.GZIP)
    return {key.name: json.loads(gzip.decompress(found[key].data)) for key in keys if key in found}


def _chunks(first: Mapping[str, Document]) -> dict[str, int]:
    """The chunk of each metric in the index."""
    groups = first["metric-index"]["groups"] if "metric-index" in first else []
    return {metric["key"]: metric["chunk"] for group in groups for metric in group["metrics"]}


def _histogram(run_id: str, type_: HistogramType, tower: Tower) -> EntryKey:
    return EntryKey.histogram(run_id, type_, tower, Resolution.FULL)
