"""Parts of the summaries of compared runs. A run may have thousands of metrics, of which a page shows few at a time."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Literal, get_args

import orjson

from warmboard.contract.entries import Body
from webapp.api.shapes import ComparedMetric

Told = dict[str, Any]
"""A decoded ``Summaries``."""
MOST_INDEXED = 20_000
PointName = Literal["last", "first", "min", "max"]
Section = Literal["training", "other", "system"]
POINTS: tuple[PointName, ...] = get_args(PointName)
SECTIONS: tuple[Section, ...] = get_args(Section)


def first(most: int) -> Callable[[Told], list[str]]:
    """A choice of metrics: of so many at most, in the order of the charts; metrics without a curve come last."""
    return lambda told: list(islice(dict.fromkeys(chain(_drawn(told), told["metrics"])), most))


def read(body: Body | None, choose: Callable[[Told], Collection[str]], index: Index | None = None) -> bytes:
    """JSON of the summaries with only the chosen metrics and those of the first chart, whose number is the run's
    length; ``null`` without a body. The index takes note of all metrics.

    Only one run is decoded at a time: one of 3,000 metrics takes some megabytes.
    """
    if body is None:
        return b"null"
    told: Told = orjson.loads(gzip.decompress(body.data))
    if index:
        index.add(told)
    leading = told["charts"][0]["metrics"] if told["charts"] else []
    return orjson.dumps(_only({*choose(told), *leading}, told))


def _only(keys: Collection[str], told: Told) -> Told:
    charts = [chart | {"metrics": [key for key in chart["metrics"] if key in keys]} for chart in told["charts"]]
    named = {
        name: {key: value for key, value in told[name].items() if key in keys}
        for name in ("metrics", "chunk_of", "replaced")
    }
    return told | named | {"charts": [chart for chart in charts if chart["metrics"]]}


def _drawn(told: Told) -> Iterable[str]:
    return chain.from_iterable(chart["metrics"] for chart in told["charts"])


@dataclass
class _Metric:
    """What is known of one metric. ``place`` is the least that any run's charts give it."""

    values: list[Any]
    place: float
    section: Section | None = None
    runs: int = 0
    curves: int = 0
    differ: set[PointName] = field(default_factory=set)


@dataclass
class Index:
    """The names of all metrics of ``runs`` runs, in the order of the charts. Add the summaries of one after another."""

    runs: int
    _metrics: dict[str, _Metric] = field(default_factory=dict, repr=False)

    def add(self, told: Told) -> None:
        for key, summary in told["metrics"].items():
            values = [summary[name] and summary[name]["value"] for name in POINTS]
            known = self._metrics.get(key)
            if known is None:
                known = self._metrics[key] = _Metric(values, float("inf"))
            elif known.values != values:
                known.differ.update(
                    name for name, old, new in zip(POINTS, known.values, values, strict=True) if old != new
                )
            known.runs += 1
        place = 0
        for chart in told["charts"]:
            for key in chart["metrics"]:
                known = self._metrics[key]
                known.curves += 1
                known.place = min(known.place, place)
                known.section = min(known.section or chart["section"], chart["section"], key=SECTIONS.index)
                place += 1

    @property
    def total(self) -> int:
        return len(self._metrics)

    def document(self) -> list[ComparedMetric]:
        """At most MOST_INDEXED. A run that lacks a metric differs from those that have it."""
        ordered = sorted(self._metrics.items(), key=lambda item: (item[1].place, item[0]))
        return [
            {
                "key": key,
                "section": known.section,
                "runs": known.runs,
                "curves": known.curves,
                "differ": [name for name in POINTS if name in known.differ or known.runs < self.runs],
            }
            for key, known in ordered[:MOST_INDEXED]
        ]
