"""Write a run as lines of JSON. docs/reference/bulk-history.md has their shapes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from warmboard_mlflow.points import Points

LINE_POINTS = 100_000
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE


def to_lines(head: dict[str, Any], metrics: Iterable[Points]) -> Iterator[bytes]:
    """Yield one document per line. The last has the totals; without it, the response was cut off."""
    yield _line(head)
    axes = _Axes()
    count = points = 0
    for metric in metrics:
        count += 1
        points += len(metric)
        for begin in range(0, len(metric), LINE_POINTS):
            yield from _metric_lines(metric[begin : begin + LINE_POINTS], axes)
    yield _line({"end": True, "metrics": count, "points": points})


class _Axes:
    """Numbers the distinct axes. Most metrics of a run have the same steps and timestamps as the previous metric."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._last: tuple[Points, int] | None = None

    def number(self, points: Points) -> tuple[int, bool]:
        """The number of a metric's axis, and whether it is new."""
        if self._last and _same_axis(self._last[0], points):
            return self._last[1], False
        digest = hashlib.blake2b(points.steps.data, digest_size=16)
        digest.update(points.timestamps.data)
        new = len(self._numbers)
        number = self._numbers.setdefault(digest.digest(), new)
        self._last = points, number
        return number, number == new


def _same_axis(one: Points, other: Points) -> bool:
    return np.array_equal(one.timestamps, other.timestamps) and np.array_equal(one.steps, other.steps)


def _metric_lines(points: Points, axes: _Axes) -> Iterator[bytes]:
    axis, is_new = axes.number(points)
    if is_new:
        yield _line({"axis": axis, "steps": points.steps, "timestamps": points.timestamps})
    line = {"key": points.key, "axis": axis, "values": points.values}
    if not np.isfinite(points.values).all():
        line["non_finite"] = _non_finite(points.values)
    yield _line(line)


def _non_finite(values: NDArray[np.float64]) -> dict[str, NDArray[np.intp]]:
    kinds = {"NaN": np.isnan(values), "Infinity": values == np.inf, "-Infinity": values == -np.inf}
    return {name: np.flatnonzero(found) for name, found in kinds.items() if found.any()}


def _line(document: dict[str, Any]) -> bytes:
    # orjson writes NaN and ±∞ as null.
    return orjson.dumps(document, option=_OPTIONS)
