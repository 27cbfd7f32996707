"""Histogram edges, their text as parameters, and how gradients are counted. NumPy only.

Sorting each gradient into 25 uneven bins at every step takes a fifth of the training time. So gradients are counted by
the upper 16 bits of their float32 (sign, exponent and 7 bits of the fraction: its bfloat16), and these buckets are
collapsed into bins once an epoch. That is exact, because all edges of gradients are bfloat16 numbers. A bin includes
the edge nearer to zero and excludes the other one, so a gradient of exactly 1 or -1 is outside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

BINS = 25
BUCKETS = 1 << 16
SMALLEST, LARGEST = 1e-7, 1.0

Edges = npt.NDArray[np.float32]
Scale = Literal["symlog", "linear"]


def gradient_edges(scale: Scale = "symlog") -> Edges:
    """Return 26 increasing edges in float32, from -1 to 1, fixed for a whole run. Each is a bfloat16, within 0.4 %.

    ``symlog``: 12 log-spaced bins for each sign between 1e-7 and 1, and one around zero. ``linear``: 25 bins of equal
    width, of which the middle one gets nearly all real gradients. Raises ValueError for any other scale.
    """
    if scale == "linear":
        return _bfloat16(np.linspace(-LARGEST, LARGEST, BINS + 1))
    if scale != "symlog":
        raise ValueError(f"the scale of the gradients' bins is symlog or linear, not {scale!r}")
    positive = np.geomspace(SMALLEST, LARGEST, BINS // 2 + 1)
    return _bfloat16(np.concatenate([-positive[::-1], positive]))


def weight_edges(low: float, high: float) -> npt.NDArray[np.float64]:
    """Return 26 edges of equal-width bins from the min weight to the max weight."""
    return np.linspace(low, high, BINS + 1)


@dataclass(frozen=True)
class Counts:
    """How many gradients are in each of the 25 bins, below them, above them, and not finite."""

    bins: npt.NDArray[np.int64]
    underflow: int
    overflow: int
    nonfinite: int


def bucket_counts(values: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.int64]:
    """Count the values, of shape ``(n,)``, by bucket. Returns shape ``(BUCKETS,)``."""
    # All values beyond 2 are outside the edges; clipped, a large float64 fits into a float32.
    narrow = np.where(np.isfinite(values), np.clip(values, -2, 2), values).astype(np.float32)
    return np.bincount(narrow.view(np.uint32) >> 16, minlength=BUCKETS)


def collapse(buckets: npt.NDArray[np.int64], edges: Edges) -> Counts:
    """Turn counts per bucket, of shape ``(BUCKETS,)``, into counts per bin."""
    # The number in each bucket nearest to zero. Below zero a bin includes its upper edge, above zero its lower one.
    nearest = (np.arange(BUCKETS, dtype=np.uint32) << 16).view(np.float32)
    bin_of = np.where(nearest < 0, np.searchsorted(edges, nearest, "left"), np.searchsorted(edges, nearest, "right"))
    bin_of[~np.isfinite(nearest)] = BINS + 2
    counts = np.zeros(BINS + 3, dtype=np.int64)
    np.add.at(counts, bin_of, buckets)
    return Counts(counts[1:-2], int(counts[0]), int(counts[-2]), int(counts[-1]))


def _bfloat16(numbers: npt.NDArray[np.float64]) -> Edges:
    bits = numbers.astype(np.float32).view(np.uint32)
    return ((bits + 0x8000) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def text(edges: npt.NDArray[np.floating[Any]]) -> str:
    """Return the edges as a run's parameter: comma-separated, with nine digits, which identify a float32 exactly."""
    return ",".join(f"{edge:.9g}" for edge in edges)
