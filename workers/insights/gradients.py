"""Rules about NaN and infinity, gradients, and weights that don't move."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

import numpy as np

from warmboard.contract.catalogue import is_histogram
from warmboard.contract.entries import Insight
from workers.history.drawing import Curve
from workers.history.points import Indices, Values
from workers.history.roles import LABELS, is_vital, towers_of
from workers.insights.run import Run
from workers.insights.trend import WINDOW, begin_of_tail, median
from workers.insights.words import figure, insight_of, names_of

EXPLODED = 100.0
"""Multiple of the usual norm. In healthy runs, norms vary by factors of tens."""
EXPLODED_FLOOR = 0.01
"""Min usual norm, so that a norm below 1 never counts as an explosion."""
EXPLODED_STAYS = 10.0
"""Multiple of the usual norm. If the median from the leap on is at least this, it was not a single bad batch."""
FEWEST_BEFORE = 5
"""Min number of epochs to know the usual norm."""
FEWEST_AFTER = 3
"""Min number of epochs to tell that a leap stays: one at the very end may still come back."""
VANISHED, VANISHED_OF_START = 1e-7, 1e-6
"""A step along a gradient of this norm is below the resolution of float32 weights around 1. Relative to the median of
the first norms, for losses of any scale, the limit is a millionth."""
FEWEST_VANISHED = 5
STILL = 1e-6
"""Relative. A few units in the last place of a float32: trained weights move more."""
MOVING = 1e-4
"""Relative. A hundred times STILL, so that two towers close to one threshold don't count as different."""
FEWEST_STILL = 6


def non_finite(run: Run) -> Iterator[Insight]:
    """Find NaN and infinite values. Metrics with the same first epoch share a statement."""
    groups: dict[tuple[bool, int], dict[str, Indices]] = defaultdict(dict)
    for key in chain(run.metrics, filter(is_histogram, run.curves)):
        curve = run.curves[key]
        places = curve.non_finite
        if len(places):
            groups[len(curve.steps) > 1, int(curve.steps[places[0]])][key] = places
    for (followed, step), places_of in sorted(groups.items(), key=lambda item: item[0][1]):
        yield _not_finite(run, step, places_of, followed)


def exploding_gradients(run: Run) -> Iterator[Insight]:
    """Find gradient norms of at least EXPLODED times their usual size. Norms of the same epoch share a statement."""
    groups: dict[tuple[int, bool], list[Leap]] = defaultdict(list)
    for key in run.gradient_norms:
        if leap := _leap(run, key):
            groups[leap.step, leap.stays].append(leap)
    for (step, stays), leaps in sorted(groups.items()):
        worst = max(leaps, key=lambda leap: leap.times)
        others = [leap.key for leap in leaps if leap is not worst]
        text = (
            f"{worst.key} exploded at {run.unit} {step}: {figure(worst.value)} is {worst.times:,.0f} times its usual "
            f"size{', and it has not come back' if stays else '; it came back later'}."
        )
        if others:
            text += f" So did {names_of(others)}."
        yield insight_of("exploding-gradients", "error" if stays else "warning", text, worst.key, step)


def vanishing_gradients(run: Run) -> Iterator[Insight]:
    """Find gradient norms that are almost zero up to the end."""
    groups: dict[int, list[str]] = defaultdict(list)
    for key in run.gradient_norms:
        curve = run.finite(key)
        if len(curve.steps) >= FEWEST_VANISHED:
            nothing = max(VANISHED, VANISHED_OF_START * median(curve.values[:WINDOW]))
            begin = begin_of_tail(curve.values <= nothing)
            if len(curve.steps) - begin >= FEWEST_VANISHED:
                groups[int(curve.steps[begin])].append(key)
    for step, keys in sorted(groups.items()):
        curve = run.finite(keys[0])
        most = figure(float(curve.values[curve.steps >= step].max()))
        text = f"{names_of(keys)} vanished: {most} at most since {run.unit} {step}. Such gradients train nothing."
        yield insight_of("vanishing-gradients", "warning", text, keys[0], step, int(curve.steps[-1]))


def dead_tower(run: Run) -> Iterator[Insight]:
    """Find towers whose weights don't move: from the first epoch on, or while another tower's weights move."""
    measured = {
        name: [key for key in keys if len(run.finite(key).steps)] for name, keys in towers_of(run.metrics).items()
    }
    towers = {name: keys for name, keys in measured.items() if keys}
    for name, keys in towers.items():
        since = max(_still_since(run.finite(key)) for key in keys)
        steps = run.finite(keys[0]).steps
        if int((steps >= since).sum()) < FEWEST_STILL:
            continue
        moved = since > int(steps[0])
        if not moved or any(_moves(run.finite(other[0]), since) for other in towers.values()):
            whose = f"The {name} tower is dead: its weights" if name else "The weights"
            when = f"have not moved since {run.unit} {since}" if moved else "have never moved"
            yield insight_of("dead-tower", "warning", f"{whose} {when}.", keys[0], since, int(steps[-1]))


@dataclass(frozen=True)
class Leap:
    """Where a gradient norm first exceeds its usual size by EXPLODED times, and whether it stays high."""

    key: str
    step: int
    value: float
    times: float
    stays: bool


def _leap(run: Run, key: str) -> Leap | None:
    curve = run.finite(key)
    if len(curve.steps) <= FEWEST_BEFORE:
        return None
    # The usual norm at each epoch is the geometric mean of all earlier ones, in which a single leap weighs little.
    logs = np.log(np.maximum(np.abs(curve.values), EXPLODED_FLOOR))
    usual = np.exp(np.cumsum(logs)[:-1] / np.arange(1, len(logs)))
    times = np.concatenate([[0.0], np.abs(curve.values[1:]) / usual])
    leaps = np.flatnonzero(times[FEWEST_BEFORE:] >= EXPLODED) + FEWEST_BEFORE
    if not len(leaps):
        return None
    place = int(leaps[0])
    after = np.abs(curve.values[place:])
    high = len(after) >= FEWEST_AFTER and median(after) >= EXPLODED_STAYS * usual[place - 1]
    lost = not np.isfinite(run.curves[key].values[-1])
    return Leap(key, int(curve.steps[place]), float(curve.values[place]), float(times[place]), bool(high or lost))


def _not_finite(run: Run, step: int, places_of: Mapping[str, Indices], followed: bool) -> Insight:
    """The statement for metrics whose first NaN or infinite value is at ``step``. ``places_of`` has all positions."""
    keys = sorted(places_of, key=lambda key: (key not in LABELS, not is_vital(key), is_histogram(key), key))
    found = [(run.curves[key], places_of[key]) for key in keys]
    last = max(int(curve.steps[places[-1]]) for curve, places in found)
    kind = _kind(np.concatenate([curve.values[places] for curve, places in found]))
    is_, was = ("is", "was") if len(keys) == 1 else ("are", "were")
    if not followed:
        text = f"{names_of(keys)} {is_} {kind}."
    elif all(len(curve.steps) - places[0] == len(places) for curve, places in found):
        text = f"{names_of(keys)} {is_} {kind} from {run.unit} {step} on."
    else:
        until = "" if last == step else f", last at {run.unit} {last}"
        text = f"{names_of(keys)} {was} {kind} at {run.unit} {step}{until}."
    lost = any(is_vital(key) and not np.isfinite(run.curves[key].values[-1]) for key in keys)
    return insight_of("non-finite", "error" if lost else "warning", text, keys[0], step, last)


def _kind(values: Values) -> str:
    if np.isnan(values).all():
        return "NaN"
    return "NaN or infinite" if np.isnan(values).any() else "infinite"


def _still_since(curve: Curve) -> int:
    """The first step from which the curve stays at its last value."""
    last = curve.values[-1]
    return int(curve.steps[begin_of_tail(np.abs(curve.values - last) <= STILL * abs(last))])


def _moves(curve: Curve, since: int) -> bool:
    values = curve.values[curve.steps >= since]
    return len(values) > 1 and float(np.ptp(values)) > MOVING * abs(float(values[-1]))
