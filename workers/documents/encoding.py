"""Encode documents as warm entries: serialised and compressed once, so that each read is a look-up.

A large document's text is never whole in memory: it is written, hashed and compressed piece by piece.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from itertools import chain, islice

import numpy as np
import orjson
import zstandard
from isal import igzip, isal_zlib

from warmboard.contract.entries import Document, Entry

ETAG_LENGTH = 32
GZIP_LEVEL, ZSTD_LEVEL = 2, 1
"""igzip's levels go up to 3. These levels give bodies within 4 % of the smallest, in a twentieth of zlib's time."""
PIECE = 2**20
"""The length from which a part of a text is handed on, in bytes."""
LARGEST_AT_ONCE = 16
"""A text of fewer pieces is compressed at once, which gives smaller bodies, and zstd frames that tell their length."""
ROWS = 2**15
"""The max number of an array's rows that are serialised at a time."""
NUMBERS = 2**15
"""The max number of an object's array elements that are serialised at a time: most runs' documents in one call."""
GZIP_FORMAT = 31
"""zlib's number for a gzip header without a timestamp, and the largest window."""


def encode(document: Document) -> Entry:
    """Encode a document; equal documents give equal bytes.

    Arrays become lists. NaN and ±∞, which strict JSON lacks, become null.
    """
    pieces = _joined(_texts(document))
    head = list(islice(pieces, LARGEST_AT_ONCE))
    return _at_once(b"".join(head)) if len(head) < LARGEST_AT_ONCE else _in_pieces(chain(head, pieces))


def _at_once(text: bytes) -> Entry:
    return Entry(
        # Without a timestamp in the gzip header.
        gzip=igzip.compress(text, GZIP_LEVEL, mtime=0),
        zstd=zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(text),
        etag=hashlib.sha256(text).hexdigest()[:ETAG_LENGTH],
    )


def _in_pieces(pieces: Iterable[bytes]) -> Entry:
    gzip, zstd = (
        isal_zlib.compressobj(GZIP_LEVEL, isal_zlib.DEFLATED, GZIP_FORMAT),
        zstandard.ZstdCompressor(level=ZSTD_LEVEL).compressobj(),
    )
    digest, gzipped, zstandardised = hashlib.sha256(), list[bytes](), list[bytes]()
    for piece in pieces:
        digest.update(piece)
        gzipped.append(gzip.compress(piece))
        zstandardised.append(zstd.compress(piece))
    gzipped.append(gzip.flush())
    zstandardised.append(zstd.flush())
    return Entry(b"".join(gzipped), b"".join(zstandardised), digest.hexdigest()[:ETAG_LENGTH])


def _joined(texts: Iterable[bytes]) -> Iterator[bytes]:
    """The same text in pieces of at least PIECE bytes, except the last."""
    waiting, length = list[bytes](), 0
    for text in texts:
        waiting.append(text)
        length += len(text)
        if length >= PIECE:
            yield b"".join(waiting)
            waiting, length = [], 0
    if waiting:
        yield b"".join(waiting)


def _texts(value: object) -> Iterator[bytes]:
    """The JSON of a document; of a large one member by member, of a large array a few rows at a time."""
    if isinstance(value, dict) and _numbers(value) > NUMBERS:
        before = b"{"
        for key, member in value.items():
            yield before + orjson.dumps(key) + b":"
            yield from _texts(member)
            before = b","
        yield b"}"
    elif isinstance(value, np.ndarray) and len(value) > ROWS:
        for begin in range(0, len(value), ROWS):
            rows = orjson.dumps(value[begin : begin + ROWS], option=orjson.OPT_SERIALIZE_NUMPY)
            yield (b"," if begin else b"[") + rows[1:-1]
        yield b"]"
    else:
        yield orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def _numbers(value: object) -> int:
    """How many elements the arrays in these nested objects have."""
    if isinstance(value, dict):
        return sum(map(_numbers, value.values()))
    return value.size if isinstance(value, np.ndarray) else 0
