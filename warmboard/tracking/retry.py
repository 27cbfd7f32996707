"""The one place where the trainer tries something again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from warmboard.errors import TrackingUnavailableError

T = TypeVar("T")
# Of its own: Python's shared one belongs to the training, whose results follow from its seed.
_jitter = random.Random()


@dataclass(frozen=True)
class Retry:
    """Tries transient failures again, after 0.5, 1, 2, 4 … s, each shortened at random by up to a half.

    The jitter keeps many trainers that lost one server from coming back at the same moment. A server that asks for a
    longer pause (``Retry-After``) gets it, up to ``longest_asked`` seconds.
    """

    attempts: int = 4
    first_delay: float = 0.5
    longest_delay: float = 8.0
    longest_asked: float = 60.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def __call__(self, call: Callable[[], T], *, until: float | None = None) -> T:
        """What ``call`` returns. Raises its error if that is not transient, or was so at every attempt.

        No attempt begins after ``until``, a time of ``clock``.
        """
        for attempt in range(self.attempts - 1):
            try:
                return call()
            except TrackingUnavailableError as error:
                pause = self.delay(attempt, error.retry_after)
                if until is not None and self.clock() + pause >= until:
                    raise
                self.sleep(pause)
        return call()

    def delay(self, attempt: int, asked: float = 0.0) -> float:
        """Seconds to wait after the attempt with this number, counted from 0; at least what the server asked for."""
        # Bounded before the power is taken: it overflows after a day without a server.
        own = min(self.longest_delay, self.first_delay * 2.0 ** min(attempt, 60)) * _jitter.uniform(0.5, 1.0)
        return max(own, min(asked, self.longest_asked))
