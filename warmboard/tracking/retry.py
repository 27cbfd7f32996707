"""The retry policy of requests to the tracking server."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from warmboard.errors import TrackingUnavailableError

T = TypeVar("T")
# Not Python's shared generator: that is the training's, and its seed determines the results.
_jitter = random.Random()


@dataclass(frozen=True)
class Retry:
    """Retries transient failures after 0.5, 1, 2, 4 … s, each shortened at random by up to a half.

    With this jitter, many trainings that lost the same server don't return at the same moment. If the server asks for a
    longer pause (``Retry-After``), that is used, up to ``longest_asked`` seconds. All delays are in seconds.
    """

    attempts: int = 4
    first_delay: float = 0.5
    longest_delay: float = 8.0
    longest_asked: float = 60.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def __call__(self, call: Callable[[], T], *, until: float | None = None) -> T:
        """Return the result of ``call``. Raises its error if that is not transient, or after the last attempt.

        No attempt starts after ``until``, a time of ``clock``.
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
        """Return the seconds to wait after this attempt, counted from 0; at least what the server ``asked`` for."""
        # The exponent is bounded: the power would overflow after a day without a server.
        own = min(self.longest_delay, self.first_delay * 2.0 ** min(attempt, 60)) * _jitter.uniform(0.5, 1.0)
        return max(own, min(asked, self.longest_asked))
