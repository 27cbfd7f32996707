"""Pooled HTTP connections, through the environment's proxy if it names one: with a deadline for a whole response, for a
short time, and without delayed acknowledgements.
"""

from __future__ import annotations

import io
import math
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from http.client import HTTPResponse
from typing import Any

import urllib3
from certifi import where
from requests.utils import get_auth_from_url, get_environ_proxies, prepend_scheme_if_needed, select_proxy
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)
LONGEST_AGE = 5.0
"""After so many seconds a connection has its last request."""
_until: ContextVar[float] = ContextVar("_until", default=math.inf)
"""urllib3 and http.client pass no deadline on: they bound only the time to the next byte."""


@contextmanager
def until(deadline: float) -> Iterator[None]:
    """The responses to requests sent in this block must be read before the deadline, by time.monotonic; a later read
    raises TimeoutError. So does one that waits for a server that sends its headers byte by byte.
    """
    token = _until.set(deadline)
    try:
        yield
    finally:
        _until.reset(token)


def connections_to(uri: str, at_once: int, certificate: str | None = None) -> urllib3.PoolManager:
    """A pool that keeps up to ``at_once`` connections to the address open. ``certificate``: a file of ours."""
    proxy = select_proxy(uri, get_environ_proxies(uri))
    authorities = os.environ.get("REQUESTS_CA_BUNDLE") or where()
    options: dict[str, Any] = {"maxsize": at_once, "ca_certs": authorities, "cert_file": certificate}
    if proxy:
        user = ":".join(filter(None, get_auth_from_url(proxy)))
        headers = urllib3.make_headers(proxy_basic_auth=user) if user else None
        pool: urllib3.PoolManager = urllib3.ProxyManager(
            prepend_scheme_if_needed(proxy, "http"),  # type: ignore[no-untyped-call]
            proxy_headers=headers,
            **options,
        )
    else:
        pool = urllib3.PoolManager(**options)
    pool.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
    return pool


class _TimelySocket(io.RawIOBase):
    """What a socket receives for one response, until its deadline."""

    def __init__(self, sock: Any) -> None:
        self._sock, self._until, self._longest = sock, _until.get(), sock.gettimeout()
        self._received = sock.makefile("rb", buffering=0)

    def makefile(self, _: str) -> io.BufferedReader:
        """All that http.client asks of a socket."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the response takes too long")
        if left < math.inf:
            self._sock.settimeout(left if self._longest is None else min(left, self._longest))
        count: int | None = self._received.readinto(buffer)
        return count

    def close(self) -> None:
        self._received.close()
        super().close()


class _TimelyResponse(HTTPResponse):
    def __init__(self, sock: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(_TimelySocket(sock), *arguments, **options)  # type: ignore[arg-type]


class _LastResponse(_TimelyResponse):
    """One after which the server closes the connection, even if it does not say so: RFC 9112, section 9.6, lets it."""

    def begin(self) -> None:
        super().begin()
        self.will_close = True


class _PromptConnection(HTTPConnection):
    """Is closed when it is old, and acknowledges a response's headers at once, by TCP_QUICKACK.

    A server of several processes, or several servers behind one address, may by chance have all long connections in
    one of them, while the others idle.

    uvicorn with several workers and without uvloop sends the body only after the headers are acknowledged. On a
    kept-alive connection, Linux delays that acknowledgement by 40 ms. The kernel resets the option, so it is set for
    every response. On systems without the option, each response takes these 40 ms longer.
    """

    response_class: type[_TimelyResponse] = _TimelyResponse
    _opened_at = math.inf

    def __str__(self) -> str:
        """What urllib3's errors begin with."""
        return f"{self.host}:{self.port}"

    def connect(self) -> None:
        super().connect()
        self._opened_at = time.monotonic()

    def request(self, method: str, url: str, body: Any = None, headers: Any = None, **options: Any) -> None:
        # One that is closed is opened again by this request.
        is_old = self.sock is not None and time.monotonic() - self._opened_at > LONGEST_AGE
        if is_old:
            headers = {**(headers or {}), "Connection": "close"}
        self.response_class = _LastResponse if is_old else _TimelyResponse
        super().request(method, url, body, headers, **options)

    def getresponse(self) -> Any:
        # Inside TLS to a proxy, ``sock`` is not a socket.
        if QUICKACK is not None and hasattr(self.sock, "setsockopt"):
            self.sock.setsockopt(socket.IPPROTO_TCP, QUICKACK, 1)
        return super().getresponse()


class _PromptSecureConnection(_PromptConnection, HTTPSConnection):
    """A prompt connection over TLS."""


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _PromptConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _PromptSecureConnection
