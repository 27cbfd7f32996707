"""A response's body: decompressed in bounded steps, within a budget, and whole in memory only if it is short."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from typing import IO, Any, Protocol, cast

import urllib3
import zstandard

from workers.errors import NotMlflowError
from workers.fetch.budget import Budget
from workers.history import bounded

STEP = 2**20
"""The max number of bytes that one read gives."""
NUMBER = 8
"""The length of a number in an array, in bytes."""
LARGEST_WINDOW = 8 * 2**20
"""The memory that a zstd frame may ask for, in bytes: as much as HTTP allows (RFC 9659)."""
ACCEPTED = "zstd, gzip;q=0.5"


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Body:
    """A response body. Every read is bounded by STEP and by the budget."""

    def __init__(self, answer: urllib3.BaseHTTPResponse, budget: Budget) -> None:
        self._budget = budget
        self._stream = _decompressed(answer)

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes, at most STEP; none at the end."""
        self._budget.seconds()
        piece = self._stream.read(min(size, STEP))
        self._budget.receive(len(piece))
        return piece

    def document(self) -> Any:
        """The whole body, parsed as JSON. Raises TooLargeError, JSONDecodeError."""
        return bounded.loads(self.text())

    def text(self) -> bytes:
        """The whole body, if it may be parsed at once. Raises TooLargeError."""
        pieces, length = list[bytes](), 0
        try:
            while piece := self.read(STEP):
                pieces.append(piece)
                length += len(piece)
                bounded.check_length(length)
        except BaseException:
            # Its traceback may be kept for long, and has this frame.
            pieces.clear()
            raise
        return b"".join(pieces)

    def within_memory(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """The same lines of this body, whose numbers are kept as arrays: those may be longer than their text."""
        for line in lines:
            self._budget.take(max(0, line.count(b",") * NUMBER - len(line)))
            yield line


def _decompressed(answer: urllib3.BaseHTTPResponse) -> Readable:
    """The body as it was before compression. Of all codings, only those are asked for that can be read in steps."""
    encoding = answer.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding == "zstd":
        decompressor = zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW)
        return decompressor.stream_reader(cast("IO[bytes]", answer), read_across_frames=True)
    if encoding in ("gzip", "x-gzip"):
        return gzip.GzipFile(fileobj=answer)
    if encoding in ("identity", ""):
        return answer
    raise NotMlflowError(f"the answer has Content-Encoding {encoding[:100]!r}; accepted are {ACCEPTED}")
