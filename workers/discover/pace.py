"""How often something may be done that takes long where there is much of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SHARE = 20.0


class Pace:
    """Lets one twentieth of the time go to it: what takes seconds is done anew only after minutes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._spent, self._due = 0.0, -math.inf

    @property
    def due(self) -> bool:
        return self._clock() >= self._due

    @contextmanager
    def measured(self, counts: bool = True) -> Iterator[None]:
        """What is done within counts."""
        begin = self._clock()
        try:
            yield
        finally:
            self._spent += (self._clock() - begin) * counts

    def done(self) -> None:
        """It was done to its end; the next begins in due time."""
        self._due, self._spent = self._clock() + SHARE * self._spent, 0.0
