"""Reading a request's body: whole, within a time and a size, before a thread is given to the request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from django.conf import settings

from webapp.serving.environ import Headers

SECONDS = 10.0
"""Time within which a body must have arrived."""
MOST_AT_ONCE = 64
"""Bodies that a process receives at once, which bounds the memory that they take."""
ANONYMOUS_BYTES = 16 * 1024
"""Max size of a body without a session or a token: the form of the sign-in page takes a twentieth of it."""
CREDENTIALS = ("authorization", settings.SESSION_COOKIE_NAME)


class BodyRefused(Exception):
    """The body is not read to its end; the connection must be closed. ``status`` is the answer's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Bodies:
    """Reads bodies. Belongs to one event loop."""

    def __init__(self) -> None:
        self._reading = 0

    async def read(self, proto: AsyncIterator[bytes], headers: Headers) -> bytes:
        """Raises BodyRefused: it is too long, too slow, or too many others are being read."""
        most = _most(headers)
        if _declared(headers) > most:
            raise _too_long(most)
        if self._reading >= MOST_AT_ONCE:
            raise BodyRefused(503, "Too many requests are being received. Retry in a moment.")
        self._reading += 1
        try:
            async with asyncio.timeout(SECONDS):
                return await _read(proto, most)
        except TimeoutError:
            raise BodyRefused(408, f"The body of the request did not arrive within {SECONDS:.0f} s.") from None
        finally:
            self._reading -= 1


async def _read(proto: AsyncIterator[bytes], most: int) -> bytes:
    pieces, size = [], 0
    async for piece in proto:
        size += len(piece)
        if size > most:
            raise _too_long(most)
        pieces.append(piece)
    return b"".join(pieces)


def _too_long(most: int) -> BodyRefused:
    return BodyRefused(413, f"The body of the request is longer than {most} bytes.")


def _declared(headers: Headers) -> int:
    """Content-Length; 0 if there is none: then the body is counted as it arrives."""
    for name, value in headers:
        if name == "content-length" and value.isdecimal() and len(value) < 20:
            return int(value)
    return 0


def _most(headers: Headers) -> int:
    signed_in = any(
        name == "authorization" or (name == "cookie" and f"{settings.SESSION_COOKIE_NAME}=" in value)
        for name, value in headers
    )
    most: Any = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    return int(most) if signed_in else min(ANONYMOUS_BYTES, most)
