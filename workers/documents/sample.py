"""Choose the epochs that an overview keeps, and summarise the others. Pure; no input or output.

docs/reference/sampling.md describes the rule.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from workers.history.points import Indices, Values

LEAST_BUDGET = 3
"""The first epoch, the last, and the best."""
MOST_DIGITS = 15
"""Every float64 has at least this many significant digits."""
POWERS = np.array([float(f"1e{power}") for power in range(23)])
"""The powers of ten that float64 represents exactly."""


@dataclass(frozen=True)
class Sampling:
    """How an overview is sampled: every ``interval``-th epoch, at most ``points`` of them."""

    interval: int
    points: int


def interval_of(length: int, interval: int, budget: int) -> int:
    """The interval for a run of ``length`` epochs: doubled until at most ``budget`` epochs remain.

    The budget includes the last and the best epoch. Raises ValueError if ``interval`` < 1 or ``budget`` < 3.
    """
    if interval < 1 or budget < LEAST_BUDGET:
        raise ValueError(f"interval {interval} and budget {budget}: they must be at least 1 and {LEAST_BUDGET}")
    if interval == 1 and length <= budget:
        return interval
    # One point of the budget is reserved for the best epoch.
    while -(-(length - 1) // interval) + 1 > budget - 1:
        interval *= 2
    return interval


def kept(length: int, interval: int, budget: int, best: int | None = None) -> Indices:
    """Positions (ascending, unique, at most ``budget``) that an overview keeps of ``length`` epochs.

    Every ``interval``-th (see ``interval_of``), the last, and the best. Except for the best, they depend only on the
    length, so runs of the same length share their grid. Raises ValueError if ``interval`` < 1 or ``budget`` < 3.
    """
    if not length:
        return np.zeros(0, dtype=np.int64)
    positions = [*range(0, length, interval_of(length, interval, budget)), length - 1]
    if best is not None:
        positions.append(best)
    return np.unique(np.array(positions, dtype=np.int64))


def envelope(values: Values, positions: Indices) -> tuple[Values, Values]:
    """Min and max of each stretch of values that ends at a kept position, each of shape (positions,).

    Stretch *i* covers ``positions[i-1] + 1`` to ``positions[i]``; the first also covers all values before it, the last
    all values after it. NaN and ±∞ are ignored; a stretch without finite values gives NaN.
    """
    if not len(positions):
        return np.zeros(0), np.zeros(0)
    starts = np.concatenate([[0], positions[:-1] + 1])
    finite = np.isfinite(values)
    if finite.all():
        return np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    low = np.minimum.reduceat(np.where(finite, values, np.inf), starts)
    high = np.maximum.reduceat(np.where(finite, values, -np.inf), starts)
    none = ~np.logical_or.reduceat(finite, starts)
    low[none] = high[none] = np.nan
    return low, high


def align(steps: Indices, values: Values, epochs: Indices) -> Values:
    """Align a curve to the axis ``epochs`` by step, with NaN at missing steps.

    ``steps`` and ``epochs`` are ascending and unique. If the curve has every epoch, ``values`` is returned uncopied.
    Raises ValueError if the axis lacks a step.
    """
    if steps is epochs or (len(steps) == len(epochs) and np.array_equal(steps, epochs)):
        return values
    aligned = np.full(len(epochs), np.nan)
    if len(steps):
        aligned[_places(steps, epochs)] = values
    return aligned


def best_position(values: Values) -> int | None:
    """The position of the min finite value (the first of several); None if no value is finite."""
    finite = np.where(np.isfinite(values), values, np.inf)
    return int(np.argmin(finite)) if np.isfinite(finite).any() else None


def round_significant(values: Values, digits: int = 8) -> Values:
    """Round values to ``digits`` significant digits, in a new array of the same shape.

    Each result is the float64 nearest to the rounded decimal, so its shortest notation has no more digits. Exact halves
    round to the even digit. Zeros, NaN and ±∞ are kept, and so are values that rounding would make infinite.

    Raises ValueError unless 1 ≤ ``digits`` ≤ 15.
    """
    if not 1 <= digits <= MOST_DIGITS:
        raise ValueError(f"{digits} significant digits; float64 has 1 to {MOST_DIGITS}")
    flat = np.asarray(values, dtype=np.float64).ravel()
    smallest, multipliers, divisors = _scales(digits)
    magnitude = np.abs(flat)
    scale = np.searchsorted(smallest, magnitude, side="right")
    up, down = multipliers[scale], divisors[scale]
    with np.errstate(invalid="ignore"):
        scaled = magnitude * up / down
        whole = np.rint(scaled)
        # A whole number below 2**53, divided or multiplied by an exact power of ten, is rounded only once: to the
        # float64 nearest to that decimal. ``scaled`` itself is rounded too, which matters only if it became a half.
        sure = np.abs(scaled - whole) < 0.5
        rounded = np.copysign(whole / up * down, flat)
    if not sure.all():
        rounded = np.where(sure, rounded, flat)
        for place in np.flatnonzero(~sure & (flat != 0) & np.isfinite(flat)).tolist():
            rounded[place] = _round_slowly(float(flat[place]), digits)
    return rounded.reshape(np.shape(values))


@cache
def _scales(digits: int) -> tuple[Values, Values, Values]:
    """Each decade's start, multiplier and divisor, which scale its numbers to ``digits`` digits before the point.

    Multiplier and divisor are exact, and one of them is 1. Both arrays also have a NaN at each end, for numbers outside
    of all decades.
    """
    decades = np.arange(digits - len(POWERS), digits + len(POWERS))
    shift = digits - 1 - decades[:-1]
    one = np.ones(len(shift))
    multipliers = np.where(shift > 0, POWERS[np.abs(shift)], one)
    divisors = np.where(shift < 0, POWERS[np.abs(shift)], one)
    outside = [np.nan]
    return (
        np.array([float(f"1e{decade}") for decade in decades.tolist()]),
        np.concatenate([outside, multipliers, outside]),
        np.concatenate([outside, divisors, outside]),
    )


def _round_slowly(value: float, digits: int) -> float:
    rounded = float(f"{value:.{digits - 1}e}")
    return rounded if math.isfinite(rounded) else value


def _places(steps: Indices, epochs: Indices) -> Indices:
    """The position of each step on the axis. Raises ValueError if the axis lacks a step."""
    if len(epochs) and steps[0] >= epochs[0] and steps[-1] <= epochs[-1]:
        if len(epochs) == int(epochs[-1]) - int(epochs[0]) + 1:
            # Most axes have no gaps and need no search.
            places: Indices = steps - epochs[0]
            return places
        places = np.searchsorted(epochs, steps)
        if np.array_equal(epochs[places], steps):
            return places
    raise ValueError("the curve has a step that its axis lacks")
