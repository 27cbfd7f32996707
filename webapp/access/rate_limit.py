"""How many requests a minute a reader may make of the API: counted by all processes together, in Redis.

The minute is the clock's, so that a count is one number that expires. A read of a stored body takes a tenth of a
millisecond, and asking Redis each time would double that: a process counts by itself and tells Redis every second, or
sooner when much has come together. So the limit may be passed by a few percent. While Redis is away, each process
counts alone.
"""

from __future__ import annotations

import hashlib
import time
from functools import cache
from threading import Lock
from typing import NamedTuple

from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase

from store.hot import hot

SECONDS = 60
TELL_EVERY = 1.0
"""Seconds. What other processes have counted is known as often."""
BATCH_SHARE = 100
"""Of a reader's requests, a process keeps at most this fraction of the limit to itself."""
MOST_READERS = 10_000
clock = time.time


class Standing(NamedTuple):
    """Where a reader is, ``passed`` seconds into the present minute."""

    limit: int
    made: int
    passed: float

    @property
    def reset(self) -> int:
        """Seconds until the next minute begins."""
        return SECONDS - int(self.passed)

    def tell(self, response: HttpResponseBase) -> HttpResponseBase:
        response.headers["RateLimit-Limit"] = str(self.limit)
        response.headers["RateLimit-Reset"] = str(self.reset)
        return self.tell_briefly(response)

    def tell_briefly(self, response: HttpResponseBase) -> HttpResponseBase:
        """What changes with every request. A header costs a microsecond."""
        response.headers["RateLimit-Remaining"] = str(max(self.limit - self.made, 0))
        return response

    def refusal(self) -> JsonResponse | None:
        """None while the reader is within the limit."""
        if self.made <= self.limit:
            return None
        error = f"More than {self.limit} requests in a minute. The next minute begins in {self.reset} s."
        headers = {"Retry-After": str(self.reset), "Cache-Control": "no-store"}
        return JsonResponse({"error": error}, status=429, headers=headers)


class _Count:
    """One reader's requests in this minute: ``known`` to Redis, and ``fresh`` ones, which Redis is told when due."""

    __slots__ = ("due", "fresh", "known")

    def __init__(self) -> None:
        self.known = self.fresh = 0
        self.due = 0.0


class Limits:
    """Counts requests by reader. Safe for threads; no lock is held while Redis is asked."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._batch = max(limit // BATCH_SHARE, 1)
        self._minute = -1.0
        self._counts: dict[str, _Count] = {}
        self._lock = Lock()

    def count(self, reader: str) -> Standing:
        """Counts one request of the reader."""
        now = clock()
        minute, passed = divmod(now, SECONDS)
        with self._lock:
            if minute != self._minute or len(self._counts) > MOST_READERS:
                # Whoever is still there is looked up in Redis again.
                self._minute, self._counts = minute, {}
            count = self._counts.get(reader)
            if count is None:
                count = self._counts[reader] = _Count()
            count.fresh += 1
            untold = count.fresh if count.fresh >= self._batch or now >= count.due else 0
            if untold:
                count.known, count.fresh, count.due = count.known + untold, 0, now + TELL_EVERY
        if untold:
            self._tell(reader, minute, count, untold)
        return Standing(self._limit, count.known + count.fresh, passed)

    def _tell(self, reader: str, minute: float, count: _Count, untold: int) -> None:
        # A reader may be a session or a token: Redis needs to know neither.
        name = hashlib.sha256(reader.encode()).hexdigest()[:32]
        total = hot().add(f"warmboard:requests:{minute:.0f}:{name}", untold, expire=2 * SECONDS)
        if total is not None:
            with self._lock:
                count.known = max(count.known, total)


@cache
def _limits() -> Limits | None:
    return Limits(settings.RATE_LIMIT) if settings.RATE_LIMIT else None


def count(reader: str) -> Standing | None:
    """Counts one request of the reader; None where WEBAPP_RATE_LIMIT is 0."""
    limits = _limits()
    return limits.count(reader) if limits else None


def by_address(request: HttpRequest) -> str:
    """The reader, for requests of which nothing else is known to be true."""
    return f"address {request.META.get('REMOTE_ADDR', '')}"
