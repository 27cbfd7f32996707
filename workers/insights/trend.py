"""Separate a curve's trend from its noise, and time its steps. Pure; no input or output."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from workers.history.drawing import Curve
from workers.history.points import Indices, Values

MOST_BLOCKS = 100
"""Max number of blocks. Each is the median of several points, which reduces a long curve's cost and noise."""
WINDOW = 5
"""A level is the median of five neighbours, so two adjacent outliers move it little."""
DEVIATION = 1.4826
"""Converts a median absolute deviation to a standard deviation, for normally distributed noise."""
SAME_AXIS = 0.2
"""Max distance of two curves' first or last steps, as a share of the run. Further apart, their units differ."""
FEWEST_TIMED = 3
LEAST_ELAPSED = 1000
"""Milliseconds. In a shorter run, timestamps show when values were written, not how long epochs took."""
SECONDS, EARLIEST, LATEST = 1_000_000_000, 946_684_800_000, 4_102_444_800_000
"""Milliseconds since 1970. Times in seconds lie between the first two, which are of 1970 and 2000; those in nanoseconds
after the last, which is of 2099. Smaller ones are counted from some start of their own.
"""


@dataclass(frozen=True)
class Trend:
    """The trend of a curve.

    ``levels`` are running medians over blocks of ``size`` points; block *i* begins at ``steps[i]``. ``noise`` is a
    robust estimate of the standard deviation of the blocks around the trend, ``scatter`` that of single points.
    ``start`` is the median of the first ``WINDOW`` points, because most of a long run's fall may be in its first block.
    """

    steps: Indices
    levels: Values
    size: int
    noise: float
    start: float
    scatter: float

    @classmethod
    def of(cls, steps: Indices, values: Values) -> Trend:
        """Compute the trend of at least ``WINDOW`` values, all finite."""
        size = -(-len(values) // MOST_BLOCKS)
        blocks = _blocks(values, size)
        noise = max(_hops(blocks), _wandering(blocks))
        return cls(
            steps=steps[::size],
            levels=_running_median(blocks, WINDOW),
            size=size,
            noise=noise,
            start=median(values[:WINDOW]),
            scatter=noise if size == 1 else max(noise, _hops(values)),
        )

    @property
    def least(self) -> float:
        """The min level."""
        return float(self.levels.min())

    @property
    def last(self) -> float:
        return float(self.levels[-1])

    @property
    def fall(self) -> float:
        """The fall from the start to the min level."""
        return max(self.start, float(self.levels[0])) - self.least

    @property
    def rise(self) -> float:
        """The rise from the min level to the last."""
        return self.last - self.least


@dataclass(frozen=True)
class Timing:
    """How long each step took, in milliseconds.

    ``lasted[i]`` is the time per step from ``steps[i]`` to ``steps[i + 1]``; ``usual`` is the median.
    """

    steps: Indices
    lasted: Values
    usual: float

    @classmethod
    def of(cls, curve: Curve) -> Timing | None:
        """Time a curve's steps; None for fewer than FEWEST_TIMED points, less than LEAST_ELAPSED milliseconds, or times
        that can't be right.
        """
        if len(curve.steps) < FEWEST_TIMED or np.ptp(curve.timestamps) < LEAST_ELAPSED or not possible(curve):
            return None
        lasted = np.diff(curve.timestamps) / np.diff(curve.steps)
        usual = median(lasted)
        return cls(curve.steps, lasted, usual) if usual > 0 else None


def possible(curve: Curve) -> bool:
    """Whether the times of a curve can be milliseconds."""
    first, last = curve.timestamps.min(), curve.timestamps.max()
    return bool(last < LATEST and not SECONDS <= first < EARLIEST)


def finite(curve: Curve) -> Curve:
    """The curve's finite points."""
    there = np.isfinite(curve.values)
    if there.all():
        return curve
    return Curve(curve.steps[there], curve.values[there], curve.timestamps[there])


def at_steps_of(curve: Curve, other: Curve) -> Values | None:
    """The curve's last value at or before each step of ``other``; None if their steps have different units.

    Neither curve may be empty.
    """
    span = max(curve.steps[-1], other.steps[-1]) - min(curve.steps[0], other.steps[0])
    apart = max(abs(curve.steps[0] - other.steps[0]), abs(curve.steps[-1] - other.steps[-1]))
    if apart > SAME_AXIS * span:
        return None
    before = np.searchsorted(curve.steps, other.steps, side="right") - 1
    return curve.values[np.maximum(before, 0)]


def median(values: Values) -> float:
    """The median of at least one value; NaN if any is. Of a hundred values, in a fifth of the time of NumPy's."""
    middle = len(values) // 2
    # NaN is sorted last.
    parted = np.partition(values, sorted({max(middle - 1, 0), middle, len(values) - 1}))
    if math.isnan(parted[-1]):
        return math.nan
    return float(parted[middle] if len(values) % 2 else (parted[middle - 1] + parted[middle]) / 2)


def begin_of_tail(holds: NDArray[np.bool_]) -> int:
    """The position where the final stretch of true values begins; the length if the last value is false."""
    broken = np.flatnonzero(~holds)
    return int(broken[-1]) + 1 if len(broken) else 0


def _blocks(values: Values, size: int) -> Values:
    """The median of each ``size`` values; the last block may be shorter."""
    if size == 1:
        return values
    whole = len(values) // size * size
    blocks = np.median(values[:whole].reshape(-1, size), axis=1)
    return blocks if whole == len(values) else np.append(blocks, median(values[whole:]))


def _running_median(values: Values, window: int) -> Values:
    """Running medians of ``window`` (odd) neighbours, as many as ``values``. The ends repeat the outermost median."""
    half = window // 2
    middle = np.sort(sliding_window_view(values, window), axis=1)[:, half]
    return middle.take(np.arange(-half, len(values) - half), mode="clip")


def _hops(values: Values) -> float:
    """The standard deviation of the noise by second differences.

    They cancel a linear trend. For independent noise of variance 1, their variance is 6.
    """
    return DEVIATION * median(np.abs(np.diff(values, 2))) / math.sqrt(6)


def _wandering(values: Values) -> float:
    """The standard deviation around running medians of a quarter of the curve.

    Second differences miss noise whose neighbouring values are correlated; this estimate includes it.
    """
    quarter = max(WINDOW, len(values) // 8 * 2 + 1)
    return DEVIATION * median(np.abs(values - _running_median(values, quarter)))
