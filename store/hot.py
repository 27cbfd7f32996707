"""The hot copy: response bodies in Redis. It may be empty, stale or down at any time; the tables have everything.

A body is valid only if its generation is its run's. A run's generation never decreases, so a stale body is never read
again, regardless of the order in which writers and slow readers finish. Every key expires (HOT_SECONDS). So a full
Redis evicts the least recently used bodies (``maxmemory-policy volatile-lru``) and keeps Celery's queues, which don't
expire.
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

from store.connection import connect
from warmboard.contract.entries import Body, Encoding, EntryKey

log = logging.getLogger(__name__)
ETAG_LENGTH = 32
GENERATION_LENGTH = 20
LARGEST = 4 * 2**20
"""Bodies of more bytes are never hot: one of a very long run takes longer to send to Redis than a command may."""
REST_SECONDS = 5.0
"""After an error, Redis is not used for this time, because each command to one that hangs takes a second."""
SET_UNLESS_OLDER = """
if (redis.call('GET', KEYS[1]) or '') <= ARGV[1] then
    redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
    return 1
end
return 0
"""


class Hot:
    """The hot copy at one address, with one connection pool per process."""

    def __init__(self, url: str) -> None:
        self.client: Any = connect(url, seconds=1)
        self._rest_until = 0.0

    def read(self, keys: Iterable[EntryKey], encoding: Encoding) -> dict[EntryKey, Body]:
        """Get the bodies that are hot, in one command. None of them while Redis is down."""
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
        """Write bodies that a reader found in the tables. Does nothing while Redis is down."""
        if self._rests():
            return
        try:
            self.write(run_id, warmed_at, bodies)
        except redis.RedisError as error:
            self._rest(error)

    def write(self, run_id: str, warmed_at: datetime, bodies: Mapping[tuple[EntryKey, Encoding], Body]) -> bool:
        """Set the run's generation to the time of a warming, and write bodies of that warming, none above LARGEST.

        All older bodies of the run become invalid. Returns False if Redis has a later generation, so that these are.
        One round trip. Raises RedisError if Redis is down.
        """
        generation = _generation(warmed_at)
        with self.client.pipeline(transaction=False) as pipeline:
            pipeline.eval(SET_UNLESS_OLDER, 1, _generation_name(run_id), generation, settings.HOT_SECONDS)
            for (key, encoding), body in bodies.items():
                if len(body.data) > LARGEST:
                    continue
                packed = generation + body.etag.encode() + body.data
                pipeline.set(_body_name(key, encoding), packed, ex=settings.HOT_SECONDS)
            return bool(pipeline.execute()[0])

    def add(self, name: str, by: int, expire: int) -> int | None:
        """Add to a counter that expires after ``expire`` seconds. Returns its new value; None while Redis is down."""
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
        """Invalidate all bodies of these runs. Raises RedisError if Redis is down."""
        if names := [_generation_name(run_id) for run_id in run_ids]:
            self.client.unlink(*names)

    def _rests(self) -> bool:
        return time.monotonic() < self._rest_until

    def _rest(self, error: redis.RedisError) -> None:
        self._rest_until = time.monotonic() + REST_SECONDS
        log.warning("Redis is down, continuing without it for %.0f s: %s", REST_SECONDS, error)


@cache
def hot() -> Hot:
    """This process's hot copy, at REDIS_URL."""
    return Hot(settings.REDIS_URL)


def _generation_name(run_id: str) -> str:
    return f"warmboard:generation:{run_id}"


def _body_name(key: EntryKey, encoding: Encoding) -> str:
    return f"{key}:{encoding}"


def _generation(warmed_at: datetime) -> bytes:
    """Microseconds since 1970, zero-padded so that they sort as text."""
    return b"%0*d" % (GENERATION_LENGTH, round(warmed_at.timestamp() * 1_000_000))


def _counts(value: bytes | None, generation: bytes | None) -> bool:
    return value is not None and generation is not None and value.startswith(generation)


def _unpack(value: bytes) -> Body:
    etag_end = GENERATION_LENGTH + ETAG_LENGTH
    return Body(data=value[etag_end:], etag=value[GENERATION_LENGTH:etag_end].decode())
