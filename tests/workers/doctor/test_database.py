"""What is said of the database: its address, tables, indexes, permissions, and disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.db.utils import ConnectionHandler

from deploy.local.process import free_port
from store.models import InboxEvent
from store.settings import _database
from tests.store.samples import NOON
from tests.workers.doctor.seen import problems, the_failure, the_warning
from workers.doctor import database, events, tables

State = InboxEvent.State
pytestmark = pytest.mark.django_db


@contextmanager
def connected(url: str) -> Iterator[Any]:
    """A connection to another database than that of all tests."""
    handler = ConnectionHandler({"default": _database(url)})
    try:
        yield handler["default"]
    finally:
        handler.close_all()


def said_of(url: str) -> str:
    with connected(url) as other:
        return the_failure(database.look_at(other))


def test_the_database_of_all_tests_is_fine() -> None:
    found = list(database.look_at(connection))
    assert problems(found) == []
    assert {finding.subject for finding in found} == {"database", "tables", "inbox"}


def test_a_file_that_does_not_exist(tmp_path: Path) -> None:
    text = said_of(f"sqlite:///{tmp_path}/nowhere/store.sqlite3")
    assert "there is no file" in text
    assert "migrate" in text
    assert not (tmp_path / "nowhere" / "store.sqlite3").exists()


def test_a_database_without_migrations(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite3").touch()
    text = said_of(f"sqlite:///{tmp_path}/store.sqlite3")
    assert text.startswith("there are none: no migration was applied → Run `python -m webapp manage migrate`")


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite3").write_text("some notes of mine, kept in a file\n" * 100)
    assert "not a database → The file is no SQLite database" in said_of(f"sqlite:///{tmp_path}/store.sqlite3")


def test_a_server_that_does_not_run() -> None:
    text = said_of(f"postgresql://someone:hunter22@127.0.0.1:{free_port()}/store")
    assert text.startswith("it does not answer:")
    assert "Start the database" in text
    assert "hunter22" not in text


@pytest.mark.parametrize(
    ("message", "fix"),
    [
        ('FATAL:  password authentication failed for user "x"', "Correct user and password"),
        ('FATAL:  database "warmbord" does not exist', "createdb"),
        ('FATAL:  role "warmbord" does not exist', "createuser"),
        ("could not translate host name", "host's name"),
        ("FATAL:  sorry, too many clients already", "max_connections"),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1"', "pg_hba.conf"),
        ("FATAL:  the database system is starting up", "Wait"),
        ("database is locked", "Another process"),
        ("attempt to write a readonly database", "writable"),
    ],
)
def test_the_servers_words_have_their_fix(message: str, fix: str) -> None:
    found = database._failed(DatabaseError(message))
    assert fix in found.fix


def test_missing_migrations_are_named() -> None:
    MigrationRecorder(connection).record_unapplied("store", "0004_searched")
    assert "migrations are not applied: 0004_searched →" in the_failure(tables.migrations(connection))


def test_a_newer_version_is_named() -> None:
    MigrationRecorder(connection).record_applied("store", "0999_of_the_future")
    text = the_failure(tables.migrations(connection))
    assert "a newer version of Warmboard" in text
    assert "0999_of_the_future" in text


@pytest.mark.parametrize("name", ["run_by_name", "event_unfinished"])
def test_a_missing_index_is_named_with_the_sql_that_creates_it(name: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"DROP INDEX {name}")
        text = the_failure(tables.indexes(connection))
        assert f"lacks its index {name} → Run: CREATE INDEX" in text
        cursor.execute(text.partition("Run: ")[2])
    assert problems(tables.indexes(connection)) == []


def test_a_user_who_cannot_write() -> None:
    forbid, allow = (
        ("SET ROLE pg_read_all_data", "RESET ROLE")
        if connection.vendor == "postgresql"
        else ("PRAGMA query_only = ON", "PRAGMA query_only = OFF")
    )
    with connection.cursor() as cursor:
        cursor.execute(forbid)
        try:
            text = the_failure(database._writable(connection))
        finally:
            cursor.execute(allow)
    assert text.startswith("this user can't write to the table \"store_")
    assert ("GRANT" if connection.vendor == "postgresql" else "writable") in text


@pytest.mark.parametrize(("free", "words"), [(0, "is full: 0 MiB"), (500 * 2**20, "is nearly full: 500 MiB")])
def test_a_full_disk(free: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "store.sqlite3").touch()
    usage = type(shutil.disk_usage(tmp_path))(10**12, 10**12 - free, free)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with connected(f"sqlite:///{tmp_path}/store.sqlite3") as other:
        found = list(database._file(other))
    assert words in (the_warning(found) if free else the_failure(found))


def event(number: int, state: str, reason: str = "", **more: Any) -> InboxEvent:
    return InboxEvent.objects.create(
        source="test", event_id=f"{state}-{number}", run_id="r", attributes={}, data=b"", published_at=NOON,
        state=state, reason=reason, **more,
    )  # fmt: skip


def test_failed_events_are_counted_with_the_commonest_reason() -> None:
    for number in range(3):
        event(number, State.FAILED, f"MLflow answered 404 to runs/get: no run {number:032x}")
    event(3, State.FAILED, "unknown tracking server 'staging'")
    text = the_warning(events.look(connection))
    assert text.startswith("4 events failed and are parked; most often: MLflow answered 404")
    assert "(3 of the newest 4)" in text
    assert "replay --failed" in text


def test_unreadable_messages_are_counted() -> None:
    event(1, State.UNREADABLE, "it is not JSON")
    assert "1 messages are not events; most often: it is not JSON" in the_warning(events.look(connection))


def test_events_that_no_sweep_queues() -> None:
    old = event(1, State.PENDING, due_at=NOON)
    assert "1 unfinished events should have been queued" in the_failure(events.look(connection))
    InboxEvent.objects.update(due_at=None, received_at=NOON)
    assert "the oldest of 2026-01-02 12:00 UTC → " in the_warning(events.look(connection))
    old.delete()
    assert problems(events.look(connection)) == []
