"""A whole run as a table: a row per step and time, a column per metric."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
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
class Axis:
    """Places of points, sorted. 16 bytes for each: a run may have millions."""

    steps: array[int]
    timestamps: array[int]

    def __len__(self) -> int:
        return len(self.steps)

    def places(self) -> Iterator[Place]:
        return zip(self.steps, self.timestamps, strict=True)

    @property
    def name(self) -> bytes:
        """Equal for equal places: a digest, so that it takes no second copy of them."""
        digest = blake2b(self.steps)
        digest.update(self.timestamps)
        return digest.digest()


@dataclass(frozen=True)
class Column:
    """One metric: a value per place of its axis."""

    axis: int
    values: array[float] = field(repr=False)


@dataclass
class WholeRun:
    """All points of a run's metrics. ``history`` is the document; ``columns`` are the wanted metrics by key.

    Metrics with the same places share one of the ``axes``. ``unlisted`` counts values that are not finite and that the
    store does not list.
    """

    history: dict[str, Any] = field(repr=False)
    axes: list[Axis] = field(default_factory=list, repr=False)
    columns: dict[str, Column] = field(default_factory=dict)
    unlisted: int = 0
    _numbers: dict[bytes, int] = field(default_factory=dict, repr=False)

    def add(self, key: str, points: Iterable[Point]) -> None:
        """Add a metric; without points, it was never logged and is left out."""
        axis, values = _sorted(points)
        if values:
            number = self._numbers.setdefault(axis.name, len(self.axes))
            if number == len(self.axes):
                self.axes.append(axis)
            self.columns[key] = Column(number, values)

    def only(self, keys: Iterable[str]) -> WholeRun:
        """The run with these of its metrics, in this order, and their axes."""
        columns = {key: self.columns[key] for key in keys}
        numbers = {number: i for i, number in enumerate(dict.fromkeys(column.axis for column in columns.values()))}
        renumbered = {key: Column(numbers[column.axis], column.values) for key, column in columns.items()}
        return WholeRun(self.history, [self.axes[number] for number in numbers], renumbered, self.unlisted)

    def non_finite(self) -> list[NonFinite]:
        """The values that strict JSON lacks. ``epoch`` is their step."""
        return [
            {"metric": key, "epoch": step, "kind": _kind(value)}
            for key, column in self.columns.items()
            for step, value in zip(self.axes[column.axis].steps, column.values, strict=True)
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


def _sorted(points: Iterable[Point]) -> tuple[Axis, array[float]]:
    """The points by step and time, those with the same in their order."""
    steps, times, values = array("q"), array("q"), array("d")
    before: Place | None = None
    is_sorted = True
    for step, time, value in points:
        is_sorted = is_sorted and (before is None or before <= (step, time))
        before = step, time
        steps.append(step)
        times.append(time)
        values.append(value)
    if not is_sorted:
        order = sorted(range(len(steps)), key=lambda i: (steps[i], times[i]))
        steps, times = (array("q", map(column.__getitem__, order)) for column in (steps, times))
        values = array("d", map(values.__getitem__, order))
    return Axis(steps, times), values


def _numbered(number: int, axis: Axis) -> Iterator[tuple[int, int, int, int, int]]:
    """Step, time, how many points before have both, the number of the axis, and the position on it."""
    before: Place | None = None
    seen = 0
    for position, place in enumerate(axis.places()):
        seen = seen + 1 if place == before else 0
        before = place
        yield *place, seen, number, position


def _kind(value: float) -> Any:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
