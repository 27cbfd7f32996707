"""Parts of the summaries of compared runs. A run may have thousands of metrics, of which a page shows few at a time."""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable, Collection, Iterable, Mapping
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
    return orjson.dumps(_only(dict.fromkeys([*choose(told), *leading]), told))


def _only(keys: Mapping[str, object], told: Told) -> Told:
    """The summaries with only these metrics, in this order."""
    named = {
        name: {key: told[name][key] for key in keys if key in told[name]}
        for name in ("metrics", "chunk_of", "replaced")
    }
    some = [chart for chart in told["charts"] if any(key in keys for key in chart["metrics"])]
    charts = [chart | {"metrics": [key for key in chart["metrics"] if key in keys]} for chart in some]
    return told | named | {"charts": charts}


def _drawn(told: Told) -> Iterable[str]:
    return chain.from_iterable(chart["metrics"] for chart in told["charts"])


@dataclass(slots=True)
class _Metric:
    """What is known of one metric. ``values`` are those of the first run, as POINTS; ``place`` is the least that any
    run's charts give it.
    """

    values: tuple[Any, ...]
    place: float = math.inf
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
        metrics = self._metrics
        for key, summary in told["metrics"].items():
            low, high = summary["min"], summary["max"]
            values = (
                summary["last"]["value"],
                summary["first"]["value"],
                low and low["value"],
                high and high["value"],
            )
            known = metrics.get(key)
            if known is None:
                known = metrics[key] = _Metric(values)
            elif known.values != values and len(known.differ) < len(POINTS):
                compared = zip(POINTS, known.values, values, strict=True)
                known.differ.update(name for name, old, new in compared if old != new)
            known.runs += 1
        place = 0
        for chart in told["charts"]:
            section = chart["section"]
            for key in chart["metrics"]:
                known = metrics[key]
                known.curves += 1
                if place < known.place:
                    known.place = place
                if known.section != section:
                    known.section = min(known.section or section, section, key=SECTIONS.index)
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
