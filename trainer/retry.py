"""The one place where the trainer tries something again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from trainer.errors import TrackingUnavailable

T = TypeVar("T")


@dataclass(frozen=True)
class Retry:
    """Tries transient failures again, after 0.5, 1, 2, 4 … s, each shortened at random by up to a half.

    The jitter keeps many trainers that lost one server from coming back at the same moment.
    """

    attempts: int = 4
    first_delay: float = 0.5
    longest_delay: float = 8.0
    sleep: Callable[[float], None] = time.sleep

    def __call__(self, call: Callable[[], T], transient: type[TrackingUnavailable] = TrackingUnavailable) -> T:
        """What ``call`` returns. Raises its error if that is not ``transient``, or was so at every attempt."""
        for attempt in range(self.attempts - 1):
            try:
                return call()
            except transient:
                self.sleep(self.delay(attempt))
        return call()

    def delay(self, attempt: int) -> float:
        """Seconds to wait after the attempt with this number, counted from 0."""
        return min(self.longest_delay, self.first_delay * 2.0**attempt) * random.uniform(0.5, 1.0)
