"""What a run that still goes on has gained since it was last fetched. Pure; no input or output.

MLflow tells the latest point of every metric in one answer. A metric has moved when that is not the last point kept.
Points that were logged late, for earlier steps, don't show there; so a run that has ended is always fetched whole.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from workers.history.fetched import Curve, FetchedRun, Indices, Point, Values

RUNNING = "RUNNING"


def goes_on(kept: FetchedRun | None, status: str) -> bool:
    """Whether the run was running when it was kept, and is now."""
    return kept is not None and kept.status == status == RUNNING


def has_moved(curve: Curve | None, latest: Point) -> bool:
    """Whether a metric has another latest point than the curve that was kept of it."""
    if curve is None:
        return True
    *place, value = curve.last()
    return tuple(place) != latest[:2] or not (value == latest[2] or (math.isnan(value) and math.isnan(latest[2])))


def first_guess(kept: FetchedRun) -> int | None:
    """The step to ask from when nothing is known yet: as a rule all metrics stand at the same one. None: ask for all,
    since the run was not running, had nothing, or has steps that were logged anew and may be so again.
    """
    if not goes_on(kept, RUNNING) or any(curve.repeated for curve in kept.curves.values()):
        return None
    return max((curve.last()[0] for curve in kept.curves.values()), default=None)


def needed_from(kept: FetchedRun, latest: Mapping[str, Point], begin: int) -> int | None:
    """The step from which on all that has moved must be read, ``begin`` if that will do. None: a metric is new."""
    for key, point in latest.items():
        curve = kept.curves.get(key)
        if curve is None:
            return None
        if has_moved(curve, point):
            begin = min(begin, curve.last()[0])
    return begin


def merged(kept: FetchedRun, came: FetchedRun, latest: Mapping[str, Point], begin: int) -> FetchedRun | None:
    """The whole run: what was kept, and what came from step ``begin`` on. None if they don't fit together: steps that
    were kept have been logged anew.
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
    """Whether ``gained`` begins with what the curve has from ``begin`` on, and has no step twice."""
    before = int(np.searchsorted(curve.steps, begin))
    count = len(curve.steps) - before
    pairs = zip(_columns(curve), _columns(gained), strict=True)
    return not gained.repeated and all(np.array_equal(old[before:], new[:count], equal_nan=True) for old, new in pairs)


def _columns(curve: Curve) -> tuple[Indices, Values, Indices]:
    return curve.steps, curve.values, curve.timestamps
