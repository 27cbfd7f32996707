"""Read a run from a SQLite file that MLflow writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from workers.fetch.budget import Budget
from workers.fetch.database.snapshot import POINT_BYTES, Column
from workers.fetch.database.statements import GIVEN

SLICE = 20_000
"""Rows per statement. While one reads, MLflow can't write: that takes milliseconds."""
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
        # Opened for reading: SQLite then refuses to write, and does not create a file that is missing.
        self._uri = f"file:{quote(str(Path(path).absolute()))}?mode=ro"

    @contextmanager
    def snapshot(self, run_id: str, budget: Budget) -> Iterator[SqliteSnapshot]:
        wait = min(LONGEST_WAIT, budget.seconds())
        connection = sqlite3.connect(self._uri, uri=True, isolation_level=None, timeout=wait)
        try:
            connection.set_progress_handler(lambda: budget.is_over, LOOK_AT_CLOCK)
            connection.execute("BEGIN")
            yield SqliteSnapshot(connection, run_id, budget)
        finally:
            connection.close()

    def close(self) -> None:
        """Nothing: a file is opened in a tenth of a millisecond."""


class SqliteSnapshot:
    def __init__(self, connection: sqlite3.Connection, run_id: str, budget: Budget) -> None:
        self._connection, self._run_id, self._budget = connection, run_id, budget

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement, {**GIVEN, "run_id": self._run_id}).fetchall()

    def may_write(self) -> bool:
        return False

    def points(self, from_step: int | None, alive: Callable[[], None]) -> Iterator[Column]:
        # Rows are only ever appended. So the largest row ID is the moment, and no transaction need stay open.
        newest = self._connection.execute("SELECT max(rowid) FROM metrics").fetchone()[0]
        self._connection.rollback()
        columns = _Columns()
        for rows in self._slices(newest or 0, -(2**63) if from_step is None else from_step):
            self._budget.receive(POINT_BYTES * len(rows))
            columns.add(rows)
            alive()
        yield from columns.by_key()

    def _slices(self, newest: int, from_step: int) -> Iterator[list[tuple[Any, ...]]]:
        given = {"run_id": self._run_id, "newest": newest, "from_step": from_step, "slice": SLICE, "after": -1}
        while rows := self._connection.execute(POINTS, given).fetchall():
            yield rows
            if len(rows) < SLICE:
                return
            given["after"] = rows[-1][-1]


class _Columns:
    """Rows of all metrics, which become columns of each."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}
        self._parts: list[tuple[Any, ...]] = []

    def add(self, rows: Sequence[tuple[Any, ...]]) -> None:
        keys, steps, timestamps, values, _ = zip(*rows, strict=True)
        codes = [self._codes.setdefault(key, len(self._codes)) for key in keys]
        indices = np.array(steps, np.int64), np.array(timestamps, np.int64)
        # NumPy makes NaN of None.
        self._parts.append((np.array(codes, np.uint32), *indices, np.array(values, np.float64)))

    def by_key(self) -> Iterator[Column]:
        if not self._parts:
            return
        codes, steps, timestamps, values = map(np.concatenate, zip(*self._parts, strict=True))
        self._parts.clear()
        order = np.argsort(codes, kind="stable")
        ends = np.cumsum(np.bincount(codes))[:-1]
        parts = (np.split(column[order], ends) for column in (steps, timestamps, values))
        yield from zip(self._codes, *parts, strict=True)
