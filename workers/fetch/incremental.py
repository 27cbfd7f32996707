"""Find what a running run has gained since the last fetch. Pure; no input or output.

MLflow gives the latest point of every metric in one response. A metric has moved if that point is not the last one
kept. Points logged late, for earlier steps, don't show there, so a run that has ended is always fetched whole.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from workers.history.fetched import Curve, FetchedRun, Indices, Point, Values

RUNNING = "RUNNING"


def goes_on(kept: FetchedRun | None, status: str) -> bool:
    """Whether the run was running at the last fetch and still is."""
    return kept is not None and kept.status == status == RUNNING


def has_moved(curve: Curve | None, latest: Point) -> bool:
    """Whether a metric's latest point differs from the kept curve's last. NaN equals NaN."""
    if curve is None:
        return True
    *place, value = curve.last()
    return tuple(place) != latest[:2] or not (value == latest[2] or (math.isnan(value) and math.isnan(latest[2])))


def first_guess(kept: FetchedRun) -> int | None:
    """The step to request from before the latest points are known: the highest step kept.

    Usually all metrics are at the same step. None if everything must be requested: the run was not running, had no
    points, or logged some steps twice and may do so again.
    """
    if not goes_on(kept, RUNNING) or any(curve.repeated for curve in kept.curves.values()):
        return None
    return max((curve.last()[0] for curve in kept.curves.values()), default=None)


def needed_from(kept: FetchedRun, latest: Mapping[str, Point], begin: int) -> int | None:
    """The first step that must be read to cover every metric that moved, at most ``begin``. None if a metric is new."""
    for key, point in latest.items():
        curve = kept.curves.get(key)
        if curve is None:
            return None
        if has_moved(curve, point):
            begin = min(begin, curve.last()[0])
    return begin


def merged(kept: FetchedRun, came: FetchedRun, latest: Mapping[str, Point], begin: int) -> FetchedRun | None:
    """The whole run: the kept points before step ``begin``, then those that ``came``.

    None if the two don't fit together, because kept steps were logged again.
    """
    curves = dict(kept.curves)
    for key, gained in came.curves.items():
        curve = curves.get(key)
        if curve is None or not _continues(curve, gained, begin):
            return None
        before = int(np.searchsorted(curve.steps, begin))
        pairs = zip(_columns(curve), _columns(gained), strict=True)
        steps, values, timestamps = (np.concatenate([old[:before], new]) for old, new in pairs)
        curves[key] = Curve(steps, values, timestamps, curve.repeated)
    if latest.keys() != curves.keys() or any(has_moved(curves[key], point) for key, point in latest.items()):
        return None
    return replace(came, curves=curves)


def _continues(curve: Curve, gained: Curve, begin: int) -> bool:
    """Whether ``gained`` begins with the curve's points from step ``begin`` on, and has no repeated step."""
    before = int(np.searchsorted(curve.steps, begin))
    count = len(curve.steps) - before
    pairs = zip(_columns(curve), _columns(gained), strict=True)
    return not gained.repeated and all(np.array_equal(old[before:], new[:count], equal_nan=True) for old, new in pairs)


def _columns(curve: Curve) -> tuple[Indices, Values, Indices]:
    return curve.steps, curve.values, curve.timestamps
