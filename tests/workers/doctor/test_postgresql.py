"""What is said of PostgreSQL alone."""

from __future__ import annotations

import time

import pytest
from django.db import connection, transaction

from tests.workers.doctor.seen import problems, the_failure
from workers.doctor import clock, database, tables

pytestmark = pytest.mark.django_db


def test_an_invalid_index_is_named() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'run_by_name'::regclass")
    text = the_failure(tables.indexes(connection))
    assert 'the index run_by_name is invalid, and not used → Run: REINDEX INDEX CONCURRENTLY "run_by_name";' in text


def test_the_clock_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    assert problems(database._server(connection)) == []
    monkeypatch.setattr(time, "time", lambda: clock.WRONG)
    assert "ahead of this machine's" in the_failure(database._server(connection))


def test_a_user_who_may_read_but_not_write() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE pg_read_all_data")
        try:
            found = list(database.look_at(connection))
        finally:
            cursor.execute("RESET ROLE")
    assert "GRANT SELECT, INSERT, UPDATE, DELETE" in the_failure(found)


def test_a_user_who_may_not_even_read() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE pg_monitor")
        try:
            with transaction.atomic():
                text = the_failure(database.look_at(connection))
                transaction.set_rollback(True)
        finally:
            cursor.execute("RESET ROLE")
    assert "its tables can't be read: permission denied for table django_migrations" in text
    assert "GRANT SELECT" in text
