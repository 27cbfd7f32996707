"""Find what a running run has gained since the last fetch. Pure, but for what ``continued`` is given to read with.

MLflow gives the latest point of every metric in one response. A metric has moved if that point is not the last one
kept. Points logged late, for earlier steps, don't show there, so a run that has ended is always fetched whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from workers.history.fetched import FetchedRun
from workers.history.ndjson import Reading
from workers.history.points import Indices, Point, Points, Values

RUNNING = "RUNNING"


def goes_on(kept: FetchedRun | None, status: str) -> bool:
    """Whether the run was running at the last fetch and still is."""
    return kept is not None and kept.status == status == RUNNING


def has_moved(points: Points | None, latest: Point) -> bool:
    """Whether a metric's latest point differs from the last one kept. NaN equals NaN."""
    if points is None:
        return True
    *place, value = points.last()
    return tuple(place) != latest[:2] or not (value == latest[2] or (math.isnan(value) and math.isnan(latest[2])))


def first_guess(kept: FetchedRun) -> int | None:
    """The step to request from before the latest points are known: the highest step kept.

    Usually all metrics are at the same step. None if everything must be requested: the run was not running, had no
    points, or logged some steps twice and may do so again.
    """
    if not goes_on(kept, RUNNING) or any(points.repeat for points in kept.points.values()):
        return None
    return max((points.last()[0] for points in kept.points.values()), default=None)


def needed_from(kept: FetchedRun, latest: Mapping[str, Point], begin: int) -> int | None:
    """The first step that must be read to cover every metric that moved, at most ``begin``. None if a metric is new."""
    for key, point in latest.items():
        points = kept.points.get(key)
        if points is None:
            return None
        if has_moved(points, point):
            begin = min(begin, points.last()[0])
    return begin


def continued(kept: FetchedRun, read: Callable[[int], Reading]) -> FetchedRun | None:
    """``kept`` continued with the new points; None if the run must be fetched whole. ``read`` reads the run from a step
    on.
    """
    begin = first_guess(kept)
    while begin is not None:
        reading = read(begin)
        if not goes_on(kept, reading.run.status):
            return None
        needed = needed_from(kept, reading.latest, begin)
        if needed == begin:
            return merged(kept, reading.run, reading.latest, begin)
        begin = needed
    return None


def merged(kept: FetchedRun, came: FetchedRun, latest: Mapping[str, Point], begin: int) -> FetchedRun | None:
    """The whole run: the kept points before step ``begin``, then those that ``came``.

    None if the two don't fit together, because kept steps were logged again.
    """
    found = dict(kept.points)
    for key, gained in came.points.items():
        points = found.get(key)
        if points is None or not _continues(points, gained, begin):
            return None
        pairs = zip(_columns(points.before(begin)), _columns(gained), strict=True)
        found[key] = Points(*(np.concatenate(pair) for pair in pairs))
    if latest.keys() != found.keys() or any(has_moved(found[key], point) for key, point in latest.items()):
        return None
    return replace(came, points=found)


def _continues(points: Points, gained: Points, begin: int) -> bool:
    """Whether ``gained`` begins with the kept points from step ``begin`` on, and has no repeated step."""
    kept = points.since(begin)
    pairs = zip(_columns(kept), _columns(gained), strict=True)
    return not gained.repeat and all(np.array_equal(old, new[: len(kept)], equal_nan=True) for old, new in pairs)


def _columns(points: Points) -> tuple[Indices, Values, Indices]:
    return points.steps, points.values, points.timestamps
