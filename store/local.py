"""A small in-process cache of bodies, so that a burst of reads of one body costs one look-up.

A body is cached for SECONDS, too short to matter to readers. The cache's size in bytes is bounded; the least recently
used bodies are evicted. If several threads miss the same body at once, one looks it up and the others wait for its
result.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future

from cachetools import TTLCache

from store.metrics import count_reads
from warmboard.contract.entries import Body, Encoding, EntryKey

SECONDS = 0.05
OVERHEAD = 500
"""Approximate bytes per cached body, besides its data."""
Key = tuple[EntryKey, Encoding]


class LocalCopy:
    """A thread-safe cache of bodies.

    No lock is held during a look-up. A thread waits only for a look-up of the same body.
    """

    def __init__(self, megabytes: int) -> None:
        self._bodies: TTLCache[Key, Body] = TTLCache(megabytes * 1024 * 1024, SECONDS, getsizeof=_size)
        self._look_ups: dict[Key, Future[Body | None]] = {}
        self._lock = threading.Lock()

    def get(self, key: Key, look_up: Callable[[], Body | None]) -> Body | None:
        """Get a cached body, or else the result of ``look_up``.

        An exception of ``look_up`` is raised in every thread that waits for it.
        """
        with self._lock:
            if body := self._bodies.get(key):
                count_reads("process")
                return body
            result = self._look_ups.get(key)
            if first := result is None:
                result = self._look_ups[key] = Future()
        if first:
            self._settle(key, result, look_up)
        body = result.result()
        if not first:
            count_reads("process" if body else "nowhere")
        return body

    def forget(self, run_id: str) -> None:
        """Drop the run's bodies, because they have changed. The result of a look-up in progress is not cached."""
        with self._lock:
            for kept in (self._bodies, self._look_ups):
                for key in [key for key in kept if key[0].run_id == run_id]:
                    kept.pop(key, None)

    def _settle(self, key: Key, result: Future[Body | None], look_up: Callable[[], Body | None]) -> None:
        found = None
        try:
            found = look_up()
        except BaseException as error:
            result.set_exception(error)
            raise
        finally:
            with self._lock:
                if self._look_ups.get(key) is result:
                    del self._look_ups[key]
                    if found and _size(found) <= self._bodies.maxsize:
                        self._bodies[key] = found
        result.set_result(found)


def _size(body: Body) -> int:
    return len(body.data) + OVERHEAD
