"""What the requests of one fetch may take together: time, and bytes after decompression."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from workers.errors import PermanentError, TransientError


@dataclass(frozen=True)
class Limits:
    """The bounds of one fetch: FETCH_SECONDS and FETCH_MAX_BYTES."""

    seconds: float = 300.0
    max_bytes: int = 512 * 2**20


class Budget:
    """What is left of the limits. Several threads may use it."""

    def __init__(self, limits: Limits, uri: str) -> None:
        self._limits, self._uri = limits, uri
        self._lock = threading.Lock()
        self._bytes_left = limits.max_bytes
        self.received = 0
        """The number of bytes that were read so far, after decompression."""
        self.until = time.monotonic() + limits.seconds
        """The deadline, by time.monotonic."""

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.until

    def seconds(self) -> float:
        """The time left, more than 0. Raises TransientError at the deadline; PermanentError if there are no bytes left,
        so that the other requests of a fetch that is too large end, too.
        """
        if self._bytes_left < 0:
            raise self._too_large()
        left = self.until - time.monotonic()
        if left <= 0:
            raise self.late()
        return left

    def receive(self, size: int) -> None:
        """Take bytes that were read. Raises PermanentError as ``take`` does."""
        with self._lock:
            self.received += size
        self.take(size)

    def check(self, size: int) -> None:
        """Raise PermanentError if there are not so many bytes left, before any of them is read."""
        if size > self._bytes_left:
            raise self._too_large()

    def take(self, size: int) -> None:
        """Take bytes. Raises PermanentError if there are not so many left: a retry would read as many."""
        with self._lock:
            self._bytes_left -= size
            if self._bytes_left >= 0:
                return
        raise self._too_large()

    def _too_large(self) -> PermanentError:
        return PermanentError(
            f"the run is too large: {self._uri} answered with more than {self._limits.max_bytes:,} bytes, after"
            " decompression. Raise FETCH_MAX_BYTES, then replay the run"
        )

    def late(self) -> TransientError:
        """The error at the deadline."""
        return TransientError(
            f"{self._uri} has not answered in full within {self._limits.seconds:g} s. Raise FETCH_SECONDS if the server"
            " is only slow"
        )
