"""What a process that acknowledges messages does with its commits to SQLite."""

from __future__ import annotations

from pathlib import Path

from django.db.backends.signals import connection_created
from django.db.utils import ConnectionHandler

from store.durable import commit_durably
from store.settings import _database

NORMAL, FULL = 1, 2


def synchronous(folder: Path) -> int:
    connection = ConnectionHandler({"default": _database(f"sqlite:///{folder}/store.sqlite3")})["default"]
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA synchronous")
        found = int(cursor.fetchone()[0])
    connection.close()
    return found


def test_commits_are_on_the_disk_where_they_must_be(tmp_path: Path) -> None:
    assert synchronous(tmp_path) == NORMAL
    commit_durably()
    try:
        assert synchronous(tmp_path) == FULL
    finally:
        connection_created.disconnect(dispatch_uid="commit_durably")
