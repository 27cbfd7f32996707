"""The backend: ``ENGINE = "store.postgres"``.

PostgreSQL's own ``statement_timeout`` is set too, so that a server that works gives up by itself. But a server that is
stopped, or behind a network that drops everything, can't keep a time: only the client can.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import psycopg
from django.db.backends.postgresql import base
from psycopg.errors import OperationalError

from store.names import addresses_of

GRACE_SECONDS = 2.0
"""The client waits this much longer than the server's own timeout, whose error says more."""
_limit: ContextVar[float | None] = ContextVar("limit", default=None)


class BoundedConnection(psycopg.Connection[Any]):
    """Closes itself when the server has not answered in time: its state is unknown then."""

    seconds: float | None = None

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Raises OperationalError after ``seconds``, or after those of ``within``."""
        limit = _limit.get() or timeout or (self.seconds + GRACE_SECONDS if self.seconds else None)
        try:
            return super().wait(gen, interval, limit)
        except psycopg.errors._WaitTimeout:
            self.pgconn.finish()
            raise OperationalError(f"PostgreSQL did not answer within {limit:g} s") from None


class DatabaseWrapper(base.DatabaseWrapper):
    """``OPTIONS`` may have ``statement_seconds``: the bound of a statement."""

    Database: Any = SimpleNamespace(**{**vars(psycopg), "connect": BoundedConnection.connect})

    def get_connection_params(self) -> dict[str, Any]:
        parameters: dict[str, Any] = super().get_connection_params()
        self._seconds = parameters.pop("statement_seconds", None)
        return parameters

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        if limit := _limit.get():
            conn_params = conn_params | {"connect_timeout": int(limit)}
        connection = super().get_new_connection(conn_params | _resolved(conn_params))
        connection.seconds = self._seconds
        return connection

    def _configure_connection(self, connection: Any) -> bool:
        changed = bool(super()._configure_connection(connection))  # type: ignore[misc]  # django-stubs lack it
        if self._seconds:
            with connection.cursor() as cursor:
                cursor.execute(f"SET statement_timeout = {self._seconds * 1000:.0f}")
        return changed or bool(self._seconds)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Bound every wait of this thread for PostgreSQL, for checks of whether it answers."""
    token = _limit.set(seconds)
    try:
        yield
    finally:
        _limit.reset(token)


def _resolved(parameters: dict[str, Any]) -> dict[str, Any]:
    """The addresses of the host: libpq would look its name up without a bound. TLS is checked for the name still."""
    host = parameters.get("host", "")
    if not host or host.startswith(("/", "@")) or "," in host or "hostaddr" in parameters:
        return {}
    port = int(parameters.get("port") or 5432)
    try:
        found = addresses_of(host, port, float(parameters.get("connect_timeout", 5)))
    except OSError as error:
        raise OperationalError(f"the name of the database's host can't be looked up: {error}") from error
    return {
        "host": ",".join([host] * len(found)),
        "hostaddr": ",".join(found),
        "port": ",".join([str(port)] * len(found)),
    }
