"""A PostgreSQL that hangs, for real: a backend that is stopped."""

from __future__ import annotations

import os
import signal

import pytest
from django.db import connection
from django.db.utils import OperationalError

from store.postgres.base import within


@pytest.fixture
def backend(transactional_db: None) -> int:
    """The process that serves this test's connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def test_a_backend_that_is_stopped_holds_no_one(backend: int) -> None:
    os.kill(backend, signal.SIGSTOP)
    try:
        with pytest.raises(OperationalError, match=r"did not answer within 0\.5 s"), within(0.5):
            connection.cursor().execute("SELECT 1")
    finally:
        os.kill(backend, signal.SIGCONT)
    connection.close_if_unusable_or_obsolete()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        assert cursor.fetchone()[0] != backend


def test_the_server_itself_ends_a_statement_that_takes_too_long(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.close()
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "statement_seconds", 0.2)
    try:
        with pytest.raises(OperationalError, match="statement timeout"):
            connection.cursor().execute("SELECT pg_sleep(600)")
    finally:
        connection.close()
