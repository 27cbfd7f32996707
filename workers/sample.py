"""Sample: which epochs an overview keeps, and what it says about those it leaves out. Pure; no input or output."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Values = NDArray[np.float64]


def interval_of(length: int, interval: int, budget: int) -> int:
    """The interval of a run of ``length`` epochs: the given one, doubled until at most ``budget`` epochs remain."""
    while -(-length // interval) + 1 > budget:
        interval *= 2
    return interval


def kept(length: int, interval: int, budget: int, best: int | None = None) -> Indices:
    """Positions (ascending, unique) that an overview keeps of ``length`` epochs.

    Every ``interval``-th (see ``interval_of``), the last, and the best. But for the best one they follow from the
    length alone, so that runs of one length share their grid.
    """
    if not length:
        return np.zeros(0, dtype=np.int64)
    grid = np.arange(0, length, interval_of(length, interval, budget))
    extra = [length - 1] if best is None else [length - 1, best]
    return np.unique(np.concatenate([grid, extra])).astype(np.int64)


def envelope(values: Values, positions: Indices) -> tuple[Values, Values]:
    """Minimum and maximum of each stretch that ends at a kept position: item *i* covers ``positions[i-1]+1`` to
    ``positions[i]``. Values that are not finite do not count; a stretch of none but those gives NaN.
    """
    if not len(positions):
        return np.zeros(0), np.zeros(0)
    finite = np.where(np.isfinite(values), values, np.nan)
    starts = np.concatenate([[0], positions[:-1] + 1])
    return np.fmin.reduceat(finite, starts), np.fmax.reduceat(finite, starts)


def align(steps: Indices, values: Values, epochs: Indices) -> Values:
    """The curve on the axis ``epochs`` (ascending, holding all ``steps``): by step, NaN where it has none."""
    aligned = np.full(len(epochs), np.nan)
    aligned[np.searchsorted(epochs, steps)] = values
    return aligned


def best_position(values: Values) -> int | None:
    """Where the smallest finite value stands (the first of several), or None."""
    finite = np.where(np.isfinite(values), values, np.inf)
    return int(np.argmin(finite)) if np.isfinite(finite).any() else None
