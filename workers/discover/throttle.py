"""A throttle for work that takes long when there is much of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SHARE = 20.0
"""Work takes one part in so many of the time."""


class Throttle:
    """Gives work at most about one twentieth of the time: work that took seconds is due again only after minutes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._spent, self._due = 0.0, -math.inf

    @property
    def due(self) -> bool:
        return self._clock() >= self._due

    @contextmanager
    def measured(self, counts: bool = True) -> Iterator[None]:
        """Add the time of the block to the time spent, if ``counts``."""
        begin = self._clock()
        try:
            yield
        finally:
            self._spent += (self._clock() - begin) * counts

    def done(self) -> None:
        """The work is finished; it is due again after SHARE times the time it took."""
        self._due, self._spent = self._clock() + SHARE * self._spent, 0.0
