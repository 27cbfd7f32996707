"""Mean, deviation and norm of many numbers, from sums that merge without losing digits. In float64, NumPy only.

Squared distances are summed from the mean of each part and merged by the parallel algorithm of Chan, Golub and LeVeque
("Updating formulae and a pairwise algorithm for computing sample variances", 1979). A plain sum of squares would lose
all digits of a deviation that is a hundred-millionth of the mean, by cancellation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

# How many numbers are converted to float64 at a time: half a megabyte, which fits into the processor's cache.
CHUNK = 1 << 16

Array = npt.NDArray[Any]
Wide = npt.NDArray[np.float64]
NAN = float("nan")


@dataclass(frozen=True)
class Moments:
    """``nonfinite`` counts the numbers that are not finite. Of the finite ones, there are ``n``, with their sum
    ``total``, the sum of their squared ``distances`` from their mean, their min ``low`` and their max ``high``.
    """

    nonfinite: int = 0
    n: int = 0
    total: float = 0.0
    distances: float = 0.0
    low: float = math.inf
    high: float = -math.inf

    @classmethod
    def of(cls, arrays: Sequence[Array]) -> Self:
        """Return the moments of all numbers in the arrays, of any shapes and floating types."""
        size = sum(array.size for array in arrays)
        sums, low, high, n = [], math.inf, -math.inf, 0
        for chunk in finite_chunks(arrays):
            sums.append(float(chunk.sum()))
            low, high, n = min(low, float(chunk.min())), max(high, float(chunk.max())), n + chunk.size
        total = math.fsum(sums)
        mean = total / n if n else NAN
        distances = math.fsum(float(np.square(chunk - mean).sum()) for chunk in finite_chunks(arrays))
        return cls(size - n, n, total, distances, low, high)

    @property
    def mean(self) -> float:
        """NaN if there are no finite numbers."""
        return self.total / self.n if self.n else NAN

    @property
    def std(self) -> float:
        """The population standard deviation; NaN if there are no finite numbers."""
        return math.sqrt(self.distances / self.n) if self.n else NAN

    @property
    def bounds(self) -> tuple[float, float]:
        """The min and the max; NaN if there are no finite numbers."""
        return (self.low, self.high) if self.n else (NAN, NAN)

    @property
    def norm(self) -> float:
        """The L2 norm of the finite numbers."""
        return math.sqrt(self.distances + self.total * self.mean) if self.n else 0.0

    def merged(self, other: Moments) -> Moments:
        """Return the moments of the numbers of both."""
        if not (self.n and other.n):
            between = 0.0
        else:
            apart = other.mean - self.mean
            between = apart * apart * self.n * (other.n / (self.n + other.n))
        return Moments(
            self.nonfinite + other.nonfinite,
            self.n + other.n,
            self.total + other.total,
            self.distances + other.distances + between,
            min(self.low, other.low),
            max(self.high, other.high),
        )


def norm(arrays: Sequence[Array]) -> float:
    """Return the L2 norm of all numbers in the arrays; infinite or NaN if one number is."""
    return math.sqrt(math.fsum(float(np.square(chunk).sum()) for chunk in chunks(arrays)))


def finite_chunks(arrays: Sequence[Array]) -> Iterator[Wide]:
    """Yield the finite numbers of the arrays in float64, in chunks. No chunk is empty."""
    for chunk in chunks(arrays):
        finite = np.isfinite(chunk)
        kept = chunk if finite.all() else chunk[finite]
        if kept.size:
            yield kept


def chunks(arrays: Sequence[Array]) -> Iterator[Wide]:
    """Yield all numbers of the arrays in float64, in chunks."""
    for array in arrays:
        flat = array.reshape(-1)
        for start in range(0, flat.size, CHUNK):
            yield flat[start : start + CHUNK].astype(np.float64)
