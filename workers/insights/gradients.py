"""Rules about values that are not finite, about gradients, and about weights that stand still."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

import numpy as np

from warmboard.contract.catalogue import is_histogram
from warmboard.contract.entries import Insight
from workers.history.fetched import Curve, Indices, Values
from workers.history.roles import (
    LABELS,
    is_vital,
    towers_of,
)
from workers.insights.run import Run
from workers.insights.trend import WINDOW, begin_of_tail
from workers.insights.words import figure, insight_of, names_of

EXPLODED = 100.0
"""Norms of healthy runs vary by tens."""
EXPLODED_FLOOR = 0.01
"""A usual norm counts as at least this, so that a norm below 1 is never an explosion, however tiny it was."""
EXPLODED_STAYS = 10.0
"""Ten times the usual from then on, by the median, is no single bad batch."""
FEWEST_BEFORE = 5
"""After so many epochs it is known what is usual."""
FEWEST_AFTER = 3
"""A leap at the very end may yet come back."""
VANISHED, VANISHED_OF_START = 1e-7, 1e-6
"""A step along such a gradient is below the resolution of float32 weights around 1; or, whatever the scale of the loss,
it is a millionth of the first ones."""
FEWEST_VANISHED = 5
STILL = 1e-6
"""A few units in the last place of a float32: weights that are trained move more."""
MOVING = 1e-4
"""What counts as moving: a hundred times as much, lest two towers on either side of one threshold differ."""
FEWEST_STILL = 6


def non_finite(run: Run) -> Iterator[Insight]:
    """NaN and infinities, from their onset: metrics where it is the same epoch share a statement."""
    groups: dict[tuple[bool, int], dict[str, Indices]] = defaultdict(dict)
    for key in chain(run.metrics, filter(is_histogram, run.curves)):
        curve = run.curves[key]
        places = np.flatnonzero(~np.isfinite(curve.values))
        if len(places):
            groups[len(curve.steps) > 1, int(curve.steps[places[0]])][key] = places
    for (followed, step), places_of in sorted(groups.items(), key=lambda item: item[0][1]):
        yield _not_finite(run, step, places_of, followed)


def exploding_gradients(run: Run) -> Iterator[Insight]:
    """Gradient norms a hundred times as large as usual."""
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
    """Gradient norms of nothing, up to the end."""
    groups: dict[int, list[str]] = defaultdict(list)
    for key in run.gradient_norms:
        curve = run.finite(key)
        if len(curve.steps) >= FEWEST_VANISHED:
            nothing = max(VANISHED, VANISHED_OF_START * float(np.median(curve.values[:WINDOW])))
            begin = begin_of_tail(curve.values <= nothing)
            if len(curve.steps) - begin >= FEWEST_VANISHED:
                groups[int(curve.steps[begin])].append(key)
    for step, keys in sorted(groups.items()):
        curve = run.finite(keys[0])
        most = figure(float(curve.values[curve.steps >= step].max()))
        text = f"{names_of(keys)} vanished: {most} at most since {run.unit} {step}. Such gradients train nothing."
        yield insight_of("vanishing-gradients", "warning", text, keys[0], step, int(curve.steps[-1]))


def dead_tower(run: Run) -> Iterator[Insight]:
    """A tower whose weights stand still: from the start, or while another tower's move."""
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
    """Where a gradient norm leaves what was usual until then, and whether it stays away."""

    key: str
    step: int
    value: float
    times: float
    stays: bool


def _leap(run: Run, key: str) -> Leap | None:
    curve = run.finite(key)
    if len(curve.steps) <= FEWEST_BEFORE:
        return None
    # What is usual at each epoch is the geometric mean of all before it: one leap counts for little in it.
    logs = np.log(np.maximum(np.abs(curve.values), EXPLODED_FLOOR))
    usual = np.exp(np.cumsum(logs)[:-1] / np.arange(1, len(logs)))
    times = np.concatenate([[0.0], np.abs(curve.values[1:]) / usual])
    leaps = np.flatnonzero(times[FEWEST_BEFORE:] >= EXPLODED) + FEWEST_BEFORE
    if not len(leaps):
        return None
    place = int(leaps[0])
    after = np.abs(curve.values[place:])
    high = len(after) >= FEWEST_AFTER and float(np.median(after)) >= EXPLODED_STAYS * usual[place - 1]
    lost = not np.isfinite(run.curves[key].values[-1])
    return Leap(key, int(curve.steps[place]), float(curve.values[place]), float(times[place]), bool(high or lost))


def _not_finite(run: Run, step: int, places_of: Mapping[str, Indices], followed: bool) -> Insight:
    """Of the metrics whose first value that is not finite is at ``step``; ``places_of`` has all their places."""
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
    """The step from which on the curve stays at its last value."""
    last = curve.values[-1]
    return int(curve.steps[begin_of_tail(np.abs(curve.values - last) <= STILL * abs(last))])


def _moves(curve: Curve, since: int) -> bool:
    values = curve.values[curve.steps >= since]
    return len(values) > 1 and float(np.ptp(values)) > MOVING * abs(float(values[-1]))
