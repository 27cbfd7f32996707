"""Pooled HTTP connections without delayed acknowledgements, through the environment's proxy if it names one."""

from __future__ import annotations

import os
import socket
from typing import Any

import urllib3
from certifi import where
from requests.utils import get_auth_from_url, get_environ_proxies, prepend_scheme_if_needed, select_proxy
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)


def connections_to(uri: str, at_once: int) -> urllib3.PoolManager:
    """A pool that keeps up to ``at_once`` connections to the address open."""
    proxy = select_proxy(uri, get_environ_proxies(uri))
    options: dict[str, Any] = {"maxsize": at_once, "ca_certs": os.environ.get("REQUESTS_CA_BUNDLE") or where()}
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


class _PromptConnection(HTTPConnection):
    """Acknowledges a response's headers at once, by TCP_QUICKACK.

    uvicorn with several workers and without uvloop sends the body only after the headers are acknowledged. On a
    kept-alive connection, Linux delays that acknowledgement by 40 ms. The kernel resets the option, so it is set for
    every response. On systems without the option, each response takes these 40 ms longer.
    """

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
