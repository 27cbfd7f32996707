"""Streaming compression of a response, negotiated with the client."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Protocol

import zstandard
from isal import isal_zlib
from werkzeug.datastructures import Accept

CHUNK = 2**16
"""Min size in bytes. Under uvicorn every chunk is passed between threads, which costs more than a smaller one saves."""
ZSTD_LEVEL, GZIP_LEVEL = 1, 1
GZIP_FORMAT = 16 + 15
IDENTITY = "identity"


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


class _Identity:
    def compress(self, data: bytes, /) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


def _compressor(encoding: str) -> _Compressor:
    if encoding == "zstd":
        return zstandard.ZstdCompressor(level=ZSTD_LEVEL).compressobj()
    if encoding == "gzip":
        return isal_zlib.compressobj(GZIP_LEVEL, wbits=GZIP_FORMAT)
    return _Identity()


def negotiated(accepted: Accept) -> str:
    """The Content-Encoding that the client prefers, zstd before gzip; `identity` if it accepts neither."""
    best = max(("zstd", "gzip"), key=lambda encoding: accepted.quality(encoding))
    return best if accepted.quality(best) > 0 else IDENTITY


def compressed(lines: Iterable[bytes], encoding: str) -> Generator[bytes]:
    """Compress lines into chunks of at least CHUNK bytes, except the last."""
    compressor = _compressor(encoding)
    waiting: list[bytes] = []
    size = 0
    for line in lines:
        piece = compressor.compress(line)
        waiting.append(piece)
        size += len(piece)
        if size >= CHUNK:
            yield b"".join(waiting)
            waiting.clear()
            size = 0
    yield b"".join([*waiting, compressor.flush()])
