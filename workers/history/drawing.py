"""What is drawn of a metric whose steps repeat. docs/reference/sampling.md has the rule. Pure; no input or output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b

import numpy as np

from workers.history.points import Indices, Points, Values, non_finite

MOST_SEGMENTS = 20
"""Of more, the latest are drawn. The points of the others count as replaced."""


@dataclass(frozen=True)
class Curve:
    """One metric as it is drawn: three arrays of the same length, ``steps`` ascending and unique.

    ``counted_at``: the step that every point has, if so. Then ``steps`` count the points by time, from 0.
    ``earlier`` are the segments before the steps began again, oldest first, with one point per step. ``replaced`` are
    the points that are not drawn: a later one has the same step in the same segment. A curve, its earlier segments and
    its replaced points are together all points of the metric.
    """

    steps: Indices
    values: Values
    timestamps: Indices
    counted_at: int | None = None
    earlier: tuple[Points, ...] = ()
    replaced: Points | None = field(default=None, repr=False)

    @property
    def is_counted(self) -> bool:
        return self.counted_at is not None

    @cached_property
    def non_finite(self) -> Indices:
        """The positions of NaN and ±∞, which both resolutions and the insights ask for."""
        return non_finite(self.values)


def drawn(points: Points) -> Curve:
    """Apply the rule to one metric.

    (a) All points have one step: they are drawn by time. (b) Steps return to the metric's first step: what follows is
    another segment, and the latest is the curve. (c) Otherwise, of points with the same step, the last by time.
    """
    if not points.repeat:
        return Curve(points.steps, points.values, points.timestamps)
    if points.steps[0] == points.steps[-1]:
        return Curve(np.arange(len(points)), points.values, points.timestamps, int(points.steps[0]))
    old, *recent = _segments(points)
    chosen, replaced = zip(*map(_last_of_each_step, recent), strict=True)
    latest = chosen[-1]
    left = [part for part in (old, *replaced) if len(part)]
    return Curve(
        latest.steps,
        latest.values,
        latest.timestamps,
        earlier=chosen[:-1],
        replaced=Points.of(*map(np.concatenate, zip(*map(_columns, left), strict=True))) if left else None,
    )


def shared(curves: Mapping[str, Curve]) -> dict[str, Curve]:
    """The curves by key, with equal steps and equal timestamps in one array: so they are compared by identity."""
    known: dict[bytes, Indices] = {}

    def once(array: Indices) -> Indices:
        return known.setdefault(blake2b(array.tobytes(), digest_size=16).digest(), array)

    return {
        key: replace(curve, steps=once(curve.steps), timestamps=once(curve.timestamps)) for key, curve in curves.items()
    }


def _segments(points: Points) -> list[Points]:
    """The points by segment, oldest first; in each, sorted as before. The first item holds all that is too old."""
    order = np.lexsort((points.steps, points.timestamps))
    at_first = points.steps[order] == points.steps[0]
    begins = np.flatnonzero(at_first & ~np.append(False, at_first[:-1]))
    number = np.zeros(len(points), dtype=np.int64)
    # The first arrival at the first step is no return.
    number[begins[1:]] = 1
    segment = np.empty(len(points), dtype=np.int64)
    segment[order] = np.cumsum(number)
    oldest = max(0, int(segment.max()) + 1 - MOST_SEGMENTS)
    return [
        points.at(segment < oldest),
        *(points.at(segment == which) for which in range(oldest, int(segment.max()) + 1)),
    ]


def _last_of_each_step(points: Points) -> tuple[Points, Points]:
    last = np.append(points.steps[1:] != points.steps[:-1], True)
    return points.at(last), points.at(~last)


def _columns(points: Points) -> tuple[Indices, Values, Indices]:
    return points.steps, points.values, points.timestamps
