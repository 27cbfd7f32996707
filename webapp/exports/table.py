"""A whole run as a table: a row per step and time, a column per metric."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import merge
from itertools import groupby
from typing import Any

from warmboard.contract.entries import NonFinite, PointList

Place = tuple[int, int]
"""A step, and a time in milliseconds since 1970."""
Point = tuple[int, int, float]
"""A step, a time in milliseconds since 1970, and a value, which may be NaN or infinite."""
Row = tuple[int, int, list[float | None]]


@dataclass(frozen=True)
class Column:
    """One metric: a value per place of its axis."""

    axis: int
    values: list[float] = field(repr=False)


@dataclass
class WholeRun:
    """All points of a run's metrics. ``history`` is the document; ``columns`` are the wanted metrics by key.

    ``axes`` are the places of points, sorted; metrics with the same places share one. ``unlisted`` counts values that
    are not finite and that the store does not list.
    """

    history: dict[str, Any] = field(repr=False)
    axes: list[tuple[Place, ...]] = field(default_factory=list, repr=False)
    columns: dict[str, Column] = field(default_factory=dict)
    unlisted: int = 0
    _numbers: dict[tuple[Place, ...], int] = field(default_factory=dict, repr=False)

    def add(self, key: str, points: Iterable[Point]) -> None:
        """Add a metric; without points, it was never logged and is left out."""
        ordered = sorted(points, key=lambda point: point[:2])
        if ordered:
            axis = tuple([point[:2] for point in ordered])
            number = self._numbers.setdefault(axis, len(self.axes))
            if number == len(self.axes):
                self.axes.append(axis)
            self.columns[key] = Column(number, [value for _, _, value in ordered])

    def only(self, keys: Iterable[str]) -> WholeRun:
        """The run with these of its metrics, in this order."""
        chosen = WholeRun(self.history, unlisted=self.unlisted)
        for key in keys:
            column = self.columns[key]
            chosen.add(
                key, [(*place, value) for place, value in zip(self.axes[column.axis], column.values, strict=True)]
            )
        return chosen

    def non_finite(self) -> list[NonFinite]:
        """The values that strict JSON lacks. ``epoch`` is their step."""
        return [
            {"metric": key, "epoch": step, "kind": _kind(value)}
            for key, column in self.columns.items()
            for (step, _), value in zip(self.axes[column.axis], column.values, strict=True)
            if not math.isfinite(value)
        ]

    def rows(self) -> Iterator[Row]:
        """``(step, milliseconds since 1970, values)``, sorted: every point once.

        Values with the same step and time share a row. If a metric has several, each of them has a row.
        """
        columns = list(self.columns.values())
        places = merge(*map(_numbered, range(len(self.axes)), self.axes))
        for (step, time, _), found in groupby(places, key=lambda place: place[:3]):
            at = {axis: position for _, _, _, axis, position in found}
            yield step, time, [column.values[at[column.axis]] if column.axis in at else None for column in columns]


def listed(points: PointList) -> Iterator[Point]:
    """The points of a document's list."""
    values = map(float, points["values"])
    return zip(points["steps"], points["timestamps"], values, strict=True)


def _numbered(number: int, axis: tuple[Place, ...]) -> Iterator[tuple[int, int, int, int, int]]:
    """Step, time, how many points before have both, the number of the axis, and the position on it."""
    seen: Counter[Place] = Counter()
    unique = len(set(axis)) == len(axis)
    for position, (step, time) in enumerate(axis):
        if unique:
            yield step, time, 0, number, position
        else:
            yield step, time, seen[step, time], number, position
            seen[step, time] += 1


def _kind(value: float) -> Any:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
