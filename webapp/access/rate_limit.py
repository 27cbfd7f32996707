"""Rate limit of the API: requests per minute and reader, counted in Redis over all processes.

A minute is a minute of the clock, so that a count is one number that expires. A read of a stored body takes 0.1 ms, and
a call to Redis each time would double that. So each process counts locally and adds its count to Redis every second, or
sooner after many requests. The limit may be exceeded by a few percent. While Redis is down, each process counts alone.
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
from webapp.accounts.throttle import address_of

SECONDS = 60
TELL_EVERY = 1.0
"""Seconds between updates; other processes' counts are read as often."""
BATCH_SHARE = 100
"""A process counts at most 1/BATCH_SHARE of the limit before it updates Redis."""
MOST_READERS = 10_000
clock = time.time


class Standing(NamedTuple):
    """A reader's usage, ``passed`` seconds into the current minute."""

    limit: int
    made: int
    passed: float

    @property
    def reset(self) -> int:
        """Seconds until the count starts again."""
        return SECONDS - int(self.passed)

    def tell(self, response: HttpResponseBase) -> HttpResponseBase:
        response.headers["RateLimit-Limit"] = str(self.limit)
        response.headers["RateLimit-Reset"] = str(self.reset)
        return self.tell_briefly(response)

    def tell_briefly(self, response: HttpResponseBase) -> HttpResponseBase:
        """Set only the header that changes with every request. A header costs a microsecond."""
        response.headers["RateLimit-Remaining"] = str(max(self.limit - self.made, 0))
        return response

    def refusal(self) -> JsonResponse | None:
        """The 429 response, or None while the reader is within the limit."""
        if self.made <= self.limit:
            return None
        error = f"Rate limit exceeded: {self.limit} requests per minute. Retry in {self.reset} s."
        headers = {"Retry-After": str(self.reset), "Cache-Control": "no-store"}
        return JsonResponse({"error": error}, status=429, headers=headers)


class _Count:
    """One reader's requests in this minute: ``known`` to Redis, and ``fresh`` ones that Redis gets when ``due``."""

    __slots__ = ("due", "fresh", "known")

    def __init__(self) -> None:
        self.known = self.fresh = 0
        self.due = 0.0


class Limits:
    """Counts requests by reader. Thread-safe; no lock is held during calls to Redis."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._batch = max(limit // BATCH_SHARE, 1)
        self._minute = -1.0
        self._counts: dict[str, _Count] = {}
        self._lock = Lock()

    def count(self, reader: str) -> Standing:
        """Count one request of the reader."""
        now = clock()
        minute, passed = divmod(now, SECONDS)
        with self._lock:
            if minute != self._minute or len(self._counts) > MOST_READERS:
                # Counts of active readers are read from Redis again.
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
        # A reader may be a session or a token: Redis must hold neither.
        name = hashlib.sha256(reader.encode()).hexdigest()[:32]
        total = hot().add(f"warmboard:requests:{minute:.0f}:{name}", untold, expire=2 * SECONDS)
        if total is not None:
            with self._lock:
                count.known = max(count.known, total)


@cache
def _limits() -> Limits | None:
    return Limits(settings.RATE_LIMIT) if settings.RATE_LIMIT else None


def count(reader: str) -> Standing | None:
    """Count one request of the reader; None where WEBAPP_RATE_LIMIT is 0."""
    limits = _limits()
    return limits.count(reader) if limits else None


def by_address(request: HttpRequest) -> str:
    """The reader of an unauthenticated request."""
    return f"address {address_of(request)}"
