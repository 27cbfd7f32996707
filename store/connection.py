"""Connections to Redis or Valkey whose every step has a bound, the look-up of the host's name included."""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.connection import SSLConnection
from redis.retry import Retry

from store.names import addresses_of

CONNECT_SECONDS = 0.5
MOST_ADDRESSES = 2
"""Of one name, that are tried."""


def tls_options(url: str) -> dict[str, Any] | None:
    """How a client that needs to be told checks the certificate of a rediss:// address; None for any other."""
    parts = urlsplit(url)
    if parts.scheme != "rediss":
        return None
    given = {name: value for name, value in parse_qsl(parts.query) if name.startswith("ssl_")}
    return given | {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True}


class BoundedConnection(redis.Connection):
    """Looks up its host within its connect timeout. redis-py's does it before the timeout begins."""

    def _connect(self) -> Any:
        host, error = self.host, OSError(f"{self.host!r} has no address")
        try:
            for address in addresses_of(host, int(self.port), CONNECT_SECONDS)[:MOST_ADDRESSES]:
                self.host = address
                try:
                    return super()._connect()  # type: ignore[no-untyped-call]
                except OSError as failed:
                    error = failed
        finally:
            # The name again: certificates are checked for it.
            self.host = host
        raise error


class BoundedTlsConnection(SSLConnection, BoundedConnection):
    """The same with TLS: SSLConnection wraps what BoundedConnection connects."""


def connect(url: str, seconds: float) -> Any:
    """A client with a pool of such connections. Connecting takes at most half a second and as much for the look-up of
    the name, a command ``seconds``. Nothing is tried again: who calls knows what to do without Redis.
    """
    classes = {"redis": BoundedConnection, "rediss": BoundedTlsConnection}
    chosen = classes.get(url.partition(":")[0])
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=seconds,
        retry=Retry(NoBackoff(), 0),
        **({"connection_class": chosen} if chosen else {}),
    )
