"""Pooled connections that are quick on every MLflow server, through the proxy that the environment names, if any."""

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
    """A pool that keeps ``at_once`` connections to the address open."""
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
    """Acknowledges the beginning of an answer at once.

    uvicorn with several workers and without uvloop sends the headers, then waits with the body until they are
    acknowledged, which Linux puts off by 40 ms on a connection that is kept. The kernel drops the option by itself, so
    it is set for every answer. Systems without it wait.
    """

    def getresponse(self) -> Any:
        # Within TLS to a proxy there is no socket of our own.
        if QUICKACK is not None and hasattr(self.sock, "setsockopt"):
            self.sock.setsockopt(socket.IPPROTO_TCP, QUICKACK, 1)
        return super().getresponse()


class _PromptSecureConnection(_PromptConnection, HTTPSConnection):
    """The same over TLS."""


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _PromptConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _PromptSecureConnection
