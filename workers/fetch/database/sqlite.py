"""Read a run from a SQLite file that MLflow writes."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from workers.fetch.budget import Budget
from workers.fetch.database.snapshot import POINT_BYTES, Column
from workers.fetch.database.statements import GIVEN, REVISION

SLICE = 20_000
"""Rows per statement. While one reads, MLflow can't write: that takes milliseconds."""
BATCH = 500
"""Rows that become columns at once. More tuples trigger Python's garbage collector, and miss the processor's cache."""
LOOK_AT_CLOCK = 10_000
"""Instructions of SQLite between two looks at the deadline."""
LONGEST_WAIT = 10.0
"""In seconds, for a writer that holds the file."""
POINTS = """
SELECT key, step, timestamp, CASE WHEN is_nan THEN NULL ELSE value END, rowid FROM metrics
WHERE run_uuid = :run_id AND rowid > :after AND rowid <= :newest AND step >= :from_step
ORDER BY rowid LIMIT :slice
"""


class Sqlite:
    errors: tuple[type[Exception], ...] = (sqlite3.Error,)

    def __init__(self, path: str) -> None:
        self._path = Path(path).absolute()
        self._kept = threading.local()

    @contextmanager
    def snapshot(self, run_id: str, budget: Budget) -> Iterator[SqliteSnapshot]:
        connection = self._opened()
        try:
            connection.execute(f"PRAGMA busy_timeout = {int(min(LONGEST_WAIT, budget.seconds()) * 1000)}")
            connection.set_progress_handler(lambda: budget.is_over, LOOK_AT_CLOCK)
            connection.execute("BEGIN")
            yield SqliteSnapshot(connection, run_id, budget)
            connection.rollback()
            connection.set_progress_handler(None, LOOK_AT_CLOCK)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End this thread's connection."""
        if connection := getattr(self._kept, "connection", None):
            connection.close()
            del self._kept.connection

    def _opened(self) -> sqlite3.Connection:
        """One connection a thread is kept, which knows the schema: reading that takes longer than any other statement.
        A file that was replaced is opened again.
        """
        file = self._path.stat() if self._path.exists() else None
        identity = file and (file.st_dev, file.st_ino)
        if getattr(self._kept, "identity", None) != identity:
            self.close()
        if not hasattr(self._kept, "connection"):
            # Opened for reading: SQLite then refuses to write, and does not create a file that is missing.
            uri = f"file:{quote(str(self._path))}?mode=ro"
            self._kept.connection = sqlite3.connect(uri, uri=True, isolation_level=None)
            self._kept.identity = identity
        connection: sqlite3.Connection = self._kept.connection
        return connection


class SqliteSnapshot:
    def __init__(self, connection: sqlite3.Connection, run_id: str, budget: Budget) -> None:
        self._connection, self._run_id, self._budget = connection, run_id, budget

    def revisions(self) -> list[str]:
        return [str(revision) for (revision,) in self.rows(REVISION)]

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement, {**GIVEN, "run_id": self._run_id}).fetchall()

    def all_rows(self, statements: Sequence[str]) -> list[list[tuple[Any, ...]]]:
        return [self.rows(statement) for statement in statements]

    def may_write(self) -> bool:
        return False

    def points(self, from_step: int | None, alive: Callable[[], None]) -> Iterator[Column]:
        # Rows are only ever appended. So the largest row ID is the moment, and no transaction need stay open.
        newest = self._connection.execute("SELECT max(rowid) FROM metrics").fetchone()[0]
        self._connection.rollback()
        columns = _Columns()
        for length in self._slices(columns, newest or 0, -(2**63) if from_step is None else from_step):
            self._budget.receive(POINT_BYTES * length)
            alive()
        yield from columns.by_key()

    def _slices(self, columns: _Columns, newest: int, from_step: int) -> Iterator[int]:
        """Add the points, and yield the length of each slice when its statement has ended."""
        given = {"run_id": self._run_id, "newest": newest, "from_step": from_step, "slice": SLICE, "after": -1}
        length = SLICE
        while length == SLICE:
            length = 0
            cursor = self._connection.execute(POINTS, given)
            while rows := cursor.fetchmany(BATCH):
                columns.add(rows)
                length += len(rows)
                given["after"] = rows[-1][-1]
            yield length


class _Codes(dict[str, int]):
    """Numbers keys in order of appearance."""

    def __missing__(self, key: str) -> int:
        self[key] = code = len(self)
        return code


class _Columns:
    """Rows of all metrics, which become columns of each."""

    def __init__(self) -> None:
        self._codes = _Codes()
        self._parts: list[tuple[Any, ...]] = []

    def add(self, rows: Sequence[tuple[Any, ...]]) -> None:
        keys, steps, timestamps, values, _ = zip(*rows, strict=True)
        count = len(rows)
        codes = np.fromiter(map(self._codes.__getitem__, keys), np.uint32, count)
        indices = np.fromiter(steps, np.int64, count), np.fromiter(timestamps, np.int64, count)
        # NumPy makes NaN of None.
        self._parts.append((codes, *indices, np.array(values, np.float64)))

    def by_key(self) -> Iterator[Column]:
        if not self._parts:
            return
        codes, steps, timestamps, values = map(np.concatenate, zip(*self._parts, strict=True))
        self._parts.clear()
        order = np.argsort(codes, kind="stable")
        ends = np.cumsum(np.bincount(codes))[:-1]
        parts = (np.split(column[order], ends) for column in (steps, timestamps, values))
        yield from zip(self._codes, *parts, strict=True)
