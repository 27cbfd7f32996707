"""Sample: which epochs an overview keeps, and what it says about those it leaves out. Pure; no input or output.

docs/reference/sampling.md says the same in words.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from workers.history.fetched import Indices, Values

LEAST_BUDGET = 3
"""The first epoch, the last, and the best."""
MOST_DIGITS = 15
"""So many digits every float64 can tell apart."""
POWERS = np.array([float(f"1e{power}") for power in range(23)])
"""The powers of ten that float64 holds exactly."""


@dataclass(frozen=True)
class Sampling:
    """How an overview is sampled: every ``interval`` epochs, at most ``points`` of them."""

    interval: int
    points: int


def interval_of(length: int, interval: int, budget: int) -> int:
    """The interval of a run of ``length`` epochs: the given one, doubled until at most ``budget`` epochs remain, the
    last and the best among them.

    Raises ValueError unless ``interval`` ≥ 1 and ``budget`` ≥ 3.
    """
    if interval < 1 or budget < LEAST_BUDGET:
        raise ValueError(f"an interval of {interval} epochs within {budget} points; at least 1 and {LEAST_BUDGET}")
    if interval == 1 and length <= budget:
        return interval
    # Beside the grid and the last, one point is left for the best.
    while -(-(length - 1) // interval) + 1 > budget - 1:
        interval *= 2
    return interval


def kept(length: int, interval: int, budget: int, best: int | None = None) -> Indices:
    """Positions (ascending, unique) that an overview keeps of ``length`` epochs, at most ``budget``.

    Every ``interval``-th (see ``interval_of``), the last, and the best. But for the best one they follow from the
    length alone, so that runs of one length share their grid.
    """
    if not length:
        return np.zeros(0, dtype=np.int64)
    positions = [*range(0, length, interval_of(length, interval, budget)), length - 1]
    if best is not None:
        positions.append(best)
    return np.unique(np.array(positions, dtype=np.int64))


def envelope(values: Values, positions: Indices) -> tuple[Values, Values]:
    """Minimum and maximum of each stretch that ends at a kept position: item *i* covers ``positions[i-1]+1`` to
    ``positions[i]``, the first also what comes before it, the last also what comes after it. Values that are not finite
    do not count; a stretch of none but those gives NaN.
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
    """The curve on the axis ``epochs``: by step, NaN where it has none. Both are ascending and unique.

    A curve that has every epoch is returned as it is, not copied. Raises ValueError for a step that the axis lacks.
    """
    if len(steps) == len(epochs) and np.array_equal(steps, epochs):
        return values
    aligned = np.full(len(epochs), np.nan)
    if len(steps):
        aligned[_places(steps, epochs)] = values
    return aligned


def best_position(values: Values) -> int | None:
    """Where the smallest finite value stands (the first of several), or None."""
    finite = np.where(np.isfinite(values), values, np.inf)
    return int(np.argmin(finite)) if np.isfinite(finite).any() else None


def round_significant(values: Values, digits: int = 8) -> Values:
    """The values at ``digits`` significant digits, in a new array of the same shape: each is the float64 nearest to
    that decimal, so its shortest notation has no more digits. Exact halves go to the even digit. Zeros, NaN and ±∞ stay
    as they are, and so does what rounding would make infinite.

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
        # A whole number below 2**53, divided or multiplied by an exact power of ten, is rounded once: to the float64
        # nearest to that decimal. ``scaled`` was rounded before, which matters only where it became a half.
        sure = np.abs(scaled - whole) < 0.5
        rounded = np.copysign(whole / up * down, flat)
    if not sure.all():
        rounded = np.where(sure, rounded, flat)
        for place in np.flatnonzero(~sure & (flat != 0) & np.isfinite(flat)).tolist():
            rounded[place] = _round_slowly(float(flat[place]), digits)
    return rounded.reshape(np.shape(values))


@cache
def _scales(digits: int) -> tuple[Values, Values, Values]:
    """For each decade, what brings its numbers to ``digits`` digits before the point: a multiplier and a divisor, both
    exact and one of them 1. The decades begin at the first array's items; what is outside of them has NaN.
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
    """Where each step stands on the axis."""
    if len(epochs) and steps[0] >= epochs[0] and steps[-1] <= epochs[-1]:
        if len(epochs) == int(epochs[-1]) - int(epochs[0]) + 1:
            # An axis without gaps, as most are, needs no search.
            places: Indices = steps - epochs[0]
            return places
        places = np.searchsorted(epochs, steps)
        if np.array_equal(epochs[places], steps):
            return places
    raise ValueError("the curve has a step that its axis lacks")
