"""Whose failure an error is: the run's own, or that of a server, a database or a Redis that is down."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from django.db import Error, InterfaceError, OperationalError

from store.warm import HotCopyError
from workers import counts
from workers.backoff import backoff
from workers.errors import ThrottledError, WarmError
from workers.fetch.server import TrackingServer
from workers.servers import gate
from workers.servers.probe import asked

FIRST_SECONDS = 10.0
"""The pause before a run is tried again after the database or Redis was down."""
SQLITE = (
    *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_CANTOPEN),
    *(sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_NOMEM),
)
"""Codes of a database file that is locked, gone, full or unreadable. Others blame the statement."""
POSTGRESQL = ("08", "25006", "25P03", "40", "53", "55", "57P", "58", "XX")
"""How SQLSTATE begins where PostgreSQL is to blame: connections, a standby, deadlocks, resources, locks, shutdowns, the
system. Others, such as a statement that took too long or was too large, blame the statement.
"""


@dataclass(frozen=True)
class Outage:
    """What the run waits for, in words. ``seconds`` until the next attempt; None: until its server is back."""

    reason: str
    seconds: float | None


def outage_of(error: Exception, server: TrackingServer | None) -> Outage | None:
    """The outage behind an error; None if the run itself has failed.

    Where it may be the tracking server, that is asked, and its gate is closed if it is down. Raises django.db.Error.
    """
    if isinstance(error, HotCopyError) or (isinstance(error, Error) and is_down(error)):
        counts.failed("redis" if isinstance(error, HotCopyError) else "database")
        return Outage(str(error), backoff(1, FIRST_SECONDS))
    if server is None or not isinstance(error, WarmError) or error.is_answer:
        return None
    if isinstance(error, ThrottledError):
        return Outage(gate.close(server.name, str(error), error.rest), None)
    question = asked(server)
    reason = question.outcome
    return Outage(gate.close(server.name, reason, question.rest), None) if reason else None


def is_down(error: Error) -> bool:
    """Whether the database is down, as opposed to a statement that it will never accept."""
    cause = error.__cause__
    if isinstance(cause, sqlite3.Error):
        # Extended codes have the code in their lowest byte.
        return getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF in SQLITE
    state = getattr(cause, "sqlstate", None)
    if state:
        return bool(state.startswith(POSTGRESQL))
    # Without a code: a broken connection.
    return isinstance(error, OperationalError | InterfaceError)
