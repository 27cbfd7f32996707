"""The hot copy: finished bodies in Redis. It may be empty, old or away at any time; the tables have everything.

A body counts only while its generation is its run's. A run's generation never goes back, so that no older body is read
again, in whatever order writers and slow readers get there. Everything here expires (HOT_SECONDS), so that a full Redis
drops the longest unused of it (``maxmemory-policy volatile-lru``) and keeps Celery's queues, which do not expire.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any

import redis
from django.conf import settings

from warmboard.contract.entries import Body, Encoding, EntryKey

log = logging.getLogger(__name__)
ETAG_LENGTH = 32
GENERATION_LENGTH = 20
REST_SECONDS = 5.0
"""So long reads leave a Redis alone that did not answer: one that hangs takes a second each."""
SET_UNLESS_OLDER = """
if (redis.call('GET', KEYS[1]) or '') <= ARGV[1] then
    redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
end
"""


class Hot:
    """One pool of connections a process."""

    def __init__(self, url: str) -> None:
        # redis-py's types leave open whether it is the asynchronous client.
        self.client: Any = redis.Redis.from_url(url, socket_connect_timeout=0.5, socket_timeout=1)
        self._rest_until = 0.0

    def read(self, keys: Iterable[EntryKey], encoding: Encoding) -> dict[EntryKey, Body]:
        """Those of the bodies that are hot. One command; nothing while Redis is away."""
        wanted = list(keys)
        if self._rests():
            return {}
        names = [name for key in wanted for name in (_generation_name(key.run_id), _body_name(key, encoding))]
        try:
            values = self.client.mget(names)
        except redis.RedisError as error:
            self._rest(error)
            return {}
        pairs = zip(wanted, values[::2], values[1::2], strict=True)
        return {key: _unpack(value) for key, current, value in pairs if _counts(value, current)}

    def heat(self, run_id: str, warmed_at: datetime, bodies: Mapping[tuple[EntryKey, Encoding], Body]) -> None:
        """For readers: keeps what they found in the tables, if Redis is there."""
        if self._rests():
            return
        try:
            self.write(run_id, warmed_at, bodies)
        except redis.RedisError as error:
            self._rest(error)

    def write(self, run_id: str, warmed_at: datetime, bodies: Mapping[tuple[EntryKey, Encoding], Body]) -> None:
        """Makes the time of a warming its run's generation, and bodies of it hot; all others of the run count no more.

        One round trip. Raises RedisError.
        """
        generation = _generation(warmed_at)
        with self.client.pipeline(transaction=False) as pipeline:
            pipeline.eval(SET_UNLESS_OLDER, 1, _generation_name(run_id), generation, settings.HOT_SECONDS)
            for (key, encoding), body in bodies.items():
                packed = generation + body.etag.encode() + body.data
                pipeline.set(_body_name(key, encoding), packed, ex=settings.HOT_SECONDS)
            pipeline.execute()

    def add(self, name: str, by: int, expire: int) -> int | None:
        """Adds to a counter that expires after so many seconds. Its value then; None while Redis is away."""
        if self._rests():
            return None
        try:
            with self.client.pipeline() as pipeline:
                total, _ = pipeline.incrby(name, by).expire(name, expire).execute()
        except redis.RedisError as error:
            self._rest(error)
            return None
        return int(total)

    def forget(self, run_ids: Iterable[str]) -> None:
        """No body of these runs counts any more. Raises RedisError."""
        if names := [_generation_name(run_id) for run_id in run_ids]:
            self.client.unlink(*names)

    def _rests(self) -> bool:
        return time.monotonic() < self._rest_until

    def _rest(self, error: redis.RedisError) -> None:
        self._rest_until = time.monotonic() + REST_SECONDS
        log.warning("Redis is away, doing without it for %.0f s: %s", REST_SECONDS, error)


@cache
def hot() -> Hot:
    """This process's, at REDIS_URL."""
    return Hot(settings.REDIS_URL)


def _generation_name(run_id: str) -> str:
    return f"warmboard:generation:{run_id}"


def _body_name(key: EntryKey, encoding: Encoding) -> str:
    return f"{key}:{encoding}"


def _generation(warmed_at: datetime) -> bytes:
    """Microseconds since 1970 in so many digits that they sort as text."""
    return b"%0*d" % (GENERATION_LENGTH, round(warmed_at.timestamp() * 1_000_000))


def _counts(value: bytes | None, generation: bytes | None) -> bool:
    return value is not None and generation is not None and value.startswith(generation)


def _unpack(value: bytes) -> Body:
    etag_end = GENERATION_LENGTH + ETAG_LENGTH
    return Body(data=value[etag_end:], etag=value[GENERATION_LENGTH:etag_end].decode())
