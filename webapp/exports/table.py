"""A whole run as a table: a row per step, a column per metric."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import merge
from itertools import groupby
from typing import Any

from warmboard.contract.entries import Axis, NonFinite, Series

Row = tuple[int | None, int | None, Series]


@dataclass(frozen=True)
class Column:
    """One metric: a value or None per step of its axis."""

    axis: int
    values: Series = field(repr=False)


@dataclass
class WholeRun:
    """A run's metrics. ``history`` is the document; ``columns`` are the wanted metrics by key, ``finals`` those of a
    single value. ``non_finite`` lists values of the columns that are not finite; ``unlisted`` counts those that the
    store does not list.
    """

    history: dict[str, Any] = field(repr=False)
    axes: list[Axis] = field(default_factory=list, repr=False)
    columns: dict[str, Column] = field(default_factory=dict)
    finals: dict[str, float | None] = field(default_factory=dict)
    non_finite: list[NonFinite] = field(default_factory=list)
    unlisted: int = 0

    def keys(self) -> list[str]:
        """The metric keys of a row's values, in order."""
        return [*self.columns, *self.finals]

    def rows(self) -> Iterator[Row]:
        """``(step, milliseconds since 1970, values)``, by step; values may be NaN or infinite.

        Metrics of a single value, whose step the store does not keep, are in the last row; if there are no others, the
        only row has no step.
        """
        nothing: Series = [None] * len(self.finals)
        ends: Series = [math.nan if value is None else value for value in self.finals.values()]
        held: Row | None = None
        for row in self._rows():
            if held:
                yield held[0], held[1], held[2] + nothing
            held = row
        if held:
            yield held[0], held[1], held[2] + ends
        elif ends:
            yield None, None, ends

    def _rows(self) -> Iterator[tuple[int, int, Series]]:
        kinds = {(gap["metric"], gap["epoch"]): float(gap["kind"]) for gap in self.non_finite}
        columns = list(self.columns.items())
        for step, found in groupby(merge(*map(_places, range(len(self.axes)), self.axes)), key=lambda place: place[0]):
            places = {axis: place for _, axis, place in found}
            times = [self.axes[axis]["timestamps"][place] for axis, place in places.items()]
            values: Series = []
            for key, column in columns:
                place = places.get(column.axis)
                value = None if place is None else column.values[place]
                values.append(kinds.get((key, step)) if value is None else value)
            yield step, max(times), values


def _places(number: int, axis: Axis) -> Iterator[tuple[int, int, int]]:
    """``(step, index of the axis, index on it)`` of every step."""
    return ((step, number, place) for place, step in enumerate(axis["steps"]))
