"""Read a whole run from its warm entries: the history, the metric chunks and, if wanted, the bins of histograms."""

from __future__ import annotations

import gzip
import json
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, repeat
from typing import Any

from store import warm
from warmboard.contract.about import NOTE
from warmboard.contract.catalogue import binned_series, is_histogram, named_series
from warmboard.contract.entries import (
    Encoding,
    EntryKey,
    HistogramType,
    NonFiniteSteps,
    PointList,
    Resolution,
    Series,
    Tower,
)
from webapp.exports.table import Point, WholeRun, listed

ATTEMPTS = 3
Document = dict[str, Any]


class Changing(Exception):
    """The run was warmed again during each attempt to read its entries."""


class NotWhole(Exception):
    """The run has only its first charts: ``pending`` metrics are still being fetched."""

    def __init__(self, pending: int) -> None:
        super().__init__(f"{pending:,} of this run's metrics are still being fetched, and a file would lack them")


class UnknownMetric(Exception):
    """The run has no such metric. ``known`` are its metrics."""

    def __init__(self, key: str, known: Collection[str]) -> None:
        super().__init__(f"this run has no metric {key!r}")
        self.known = sorted(known)


def whole_run(run_id: str, wanted: Collection[str] | None = None, with_bins: bool = False) -> WholeRun | None:
    """All metrics of the run, or those ``wanted``, in that order; None if the run is not warm.

    Raises UnknownMetric if the run lacks a wanted metric, NotWhole if it has only its first charts, and Changing if it
    is warmed during each of ATTEMPTS reads.
    """
    for _ in range(ATTEMPTS):
        try:
            return _read(run_id, wanted, with_bins)
        except Changing:
            continue
    raise Changing


def _read(run_id: str, wanted: Collection[str] | None, with_bins: bool) -> WholeRun | None:
    """``whole_run``, once. Only one document with points is in memory at a time, besides the history."""
    first = _documents(
        [
            EntryKey.history(run_id, Resolution.OVERVIEW),
            EntryKey.metric_index(run_id),
            EntryKey.summaries(run_id),
            EntryKey.about(run_id),
        ]
    )
    overview, summaries = first.get("history"), first.get("summaries")
    if overview is None or summaries is None:
        return None
    if pending := overview.get("pending_metrics", 0):
        raise NotWhole(pending)
    _check(overview, first.values())
    run = WholeRun(overview | _tags(overview, first.get("about")))
    gathered = _Gathered(run)
    chunks = _chunks(first)
    # The history of a run of very many epochs is sampled: then chunks have its points.
    whole: dict[str, int] = overview.get("chunk_of", {})
    chunks |= {key: chunk for key, chunk in whole.items() if with_bins or not is_histogram(key)}
    keys = [] if whole else [EntryKey.history(run_id, Resolution.FULL)]
    if with_bins and not whole:
        keys += [_histogram(run_id, type_, tower) for type_ in HistogramType for tower in Tower]
    needed = {key: chunk for key, chunk in chunks.items() if wanted is None or key in wanted}
    keys += [EntryKey.metric_chunk(run_id, number, Resolution.FULL) for number in sorted(set(needed.values()))]
    for key in keys:
        for document in _one(key, overview):
            gathered.add(document, needed)
    gathered.add_finals(summaries)
    return run if wanted is None else _chosen(run, wanted, {*run.columns, *chunks})


def _check(overview: Document, documents: Iterable[Document]) -> None:
    """Entries of one warming have the same time, and every warming numbers the chunks again. Raises Changing."""
    if any(document["cached_at"] != overview["cached_at"] for document in documents):
        raise Changing


def _one(key: EntryKey, overview: Document) -> Iterable[Document]:
    """The document of this key; a run may lack a histogram. Raises Changing if there is no other that belongs."""
    found = _documents([key]).values()
    if not found and not key.name.startswith("histogram-"):
        raise Changing
    _check(overview, found)
    return found


class _Gathered:
    """Gathers the points of documents in ``run``. The full history comes before its histograms."""

    def __init__(self, run: WholeRun) -> None:
        self.run = run
        self._history: Document = {}
        self._kinds: dict[str, dict[int, float]] = {}
        self._rest: NonFiniteSteps = {}

    def add(self, document: Document, needed: Collection[str]) -> None:
        """Of a chunk only the metrics ``needed``."""
        if "axes" in document:
            self._add_chunk(document, needed)
        elif "counts" in document:
            for key, values in binned_series(document).items():
                self.run.add(key, self._of_history(self._history, key, document["epochs"], values))
        else:
            self._history = document
            self._add_history(document)

    def add_finals(self, summaries: Document) -> None:
        """Metrics with a single value."""
        for key in self.run.history["final_metrics"]:
            last = summaries["metrics"][key]["last"]
            self.run.add(key, [(last["step"], last["time"], float(last["value"]))])

    def _add_history(self, history: Document) -> None:
        self._note_kinds(history)
        for key, values in (named_series(history) | history["metrics"]).items():
            points = self._of_history(history, key, history["epochs"], values)
            self.run.add(key, chain(points, _apart(key, history["earlier"], history["replaced"])))

    def _of_history(
        self, history: Document, key: str, epochs: Sequence[int], values: Series
    ) -> Iterator[tuple[int, int, float]]:
        """The points of one curve. A value that is missing was not logged, unless it is listed as not finite."""
        clock = history["clock_of"].get(key)
        times = history["timestamps"] if clock is None else history["clocks"][clock]
        time_of = dict(zip(history["epochs"], times, strict=True))
        kinds = self._kinds_of(key)
        for epoch, value in zip(epochs, values, strict=True):
            found = kinds.get(epoch) if value is None else value
            if found is not None:
                yield epoch, time_of[epoch], found

    def _add_chunk(self, chunk: Document, needed: Collection[str]) -> None:
        self._note_kinds(chunk)
        for key, metric in chunk["metrics"].items():
            if key not in needed:
                continue
            axis = chunk["axes"][metric["axis"]]
            kinds = self._kinds_of(key)
            values = [
                kinds.get(step, math.nan) if value is None else value
                for step, value in zip(axis["steps"], metric["values"], strict=True)
            ]
            steps = repeat(axis["step"]) if axis["counted"] else axis["steps"]
            points = zip(steps, axis["timestamps"], values, strict=False)
            self.run.add(
                key, chain(points, _apart(key, {key: metric.get("earlier", [])}, {key: metric.get("replaced")}))
            )

    def _note_kinds(self, document: Document) -> None:
        self._kinds = defaultdict(dict)
        for gap in document["non_finite"]:
            self._kinds[gap["metric"]][gap["epoch"]] = float(gap["kind"])
        self._rest = document.get("non_finite_rest", {})
        rest = sum(len(steps) for kinds in self._rest.values() for steps in kinds.values())
        self.run.unlisted += document["non_finite_total"] - len(document["non_finite"]) - rest

    def _kinds_of(self, key: str) -> dict[int, float]:
        """The values of a metric that are not finite, by step."""
        rest = self._rest.get(key, {})
        return {step: float(kind) for kind, steps in rest.items() for step in steps} | self._kinds.get(key, {})


def _apart(
    key: str, earlier: Mapping[str, list[PointList]], replaced: Mapping[str, PointList | None]
) -> Iterator[Point]:
    """The points of a metric that are not on its axis."""
    lists = [*earlier.get(key, []), replaced.get(key)]
    return chain.from_iterable(listed(points) for points in lists if points)


def _chosen(run: WholeRun, wanted: Collection[str], known: Collection[str]) -> WholeRun:
    """The run with only the metrics ``wanted``. Raises UnknownMetric for one that is not ``known``."""
    for key in wanted:
        if key not in known:
            raise UnknownMetric(key, known)
    return run.only([key for key in wanted if key in run.columns])


def _tags(history: Document, about: Document | None) -> Document:
    """All tags, which the history has only if they are short, and what even these lack."""
    if about is None:
        return {"tags_cut": {}, "tags_left_out": 0}
    note = {NOTE: about["description"]} if about["description"] else {}
    left_out = about["left_out"]
    cut = about["cut"] | ({NOTE: left_out["description"]} if left_out["description"] else {})
    return {"tags": history["tags"] | about["tags"] | note, "tags_cut": cut, "tags_left_out": left_out["tags"]}


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
