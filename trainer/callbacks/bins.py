"""Edges of histograms, how they are written down, and how gradients are counted.

Sorting each gradient into 25 uneven bins at every step costs a fifth of the training. So the graph counts by the upper
16 bits of the float32 (sign, exponent and 7 bits of the fraction: its bfloat16), and these buckets are collapsed into
bins once an epoch. That is exact, since all edges of gradients are bfloat16 numbers. A bin holds its edge nearer to
zero and not the other one, so a gradient of exactly 1 or -1 lies outside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

BINS = 25
# Upper bits of the magnitudes 2^-24, which is below the smallest edge, and 1: what lies beyond counts with them.
LEAST, MOST = 0x3380, 0x3F80
BUCKETS = 2 * (MOST - LEAST + 1)
SMALLEST, LARGEST = 1e-7, 1.0

Edges = npt.NDArray[np.float32]
Scale = Literal["symlog", "linear"]


def gradient_edges(scale: Scale = "symlog") -> Edges:
    """26 increasing edges in float32, from -1 to 1, fixed for a whole run; each the nearest bfloat16, within 0.4 %.

    ``symlog``: 12 log-spaced bins for each sign between 1e-7 and 1, and one around zero. ``linear``: 25 equal ones,
    which put nearly all of real gradients into the middle.
    """
    if scale == "linear":
        return _bfloat16(np.linspace(-LARGEST, LARGEST, BINS + 1))
    positive = np.geomspace(SMALLEST, LARGEST, BINS // 2 + 1)
    return _bfloat16(np.concatenate([-positive[::-1], positive]))


def weight_edges(low: float, high: float) -> npt.NDArray[np.float64]:
    """26 edges of equal-width bins from the least to the greatest weight."""
    return np.linspace(low, high, BINS + 1)


@dataclass(frozen=True)
class Counts:
    """How many gradients fell into each of the 25 bins, below them, above them, and were no numbers."""

    bins: npt.NDArray[np.int64]
    underflow: int
    overflow: int
    nonfinite: int

    @property
    def finite(self) -> int:
        return int(self.bins.sum()) + self.underflow + self.overflow


def collapse(buckets: npt.NDArray[np.int64], edges: Edges, nonfinite: int) -> Counts:
    """Counts per bin from counts per bucket, of shape ``(BUCKETS,)``; the ``nonfinite`` were counted there as zeros."""
    magnitudes = (np.arange(LEAST, MOST + 1, dtype=np.int32) << 16).view(np.float32)
    # The number of each bucket that is nearest to zero; below zero a bin holds its upper edge, above its lower one.
    positive = np.searchsorted(edges, magnitudes, "right")
    negative = np.searchsorted(edges, -magnitudes[::-1], "left")
    counts = np.zeros(BINS + 2, dtype=np.int64)
    np.add.at(counts, np.concatenate([negative, positive]), buckets)
    counts[1 + BINS // 2] -= nonfinite
    return Counts(counts[1:-1], int(counts[0]), int(counts[-1]), nonfinite)


def _bfloat16(numbers: npt.NDArray[np.float64]) -> Edges:
    bits = numbers.astype(np.float32).view(np.uint32)
    return ((bits + 0x8000) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def text(edges: npt.NDArray[np.floating[Any]]) -> str:
    """The edges as a parameter of the run: comma-separated, nine digits, which name a float32 exactly."""
    return ",".join(f"{edge:.9g}" for edge in edges)
