"""Read a run from MLflow's PostgreSQL. The database groups the points by metric and sends them as binary arrays, which
NumPy reads in place: a third of the time that rows take.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, LiteralString

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.pq import Format

from workers.fetch.budget import Budget
from workers.fetch.database.snapshot import POINT_BYTES, Column
from workers.fetch.database.statements import GIVEN, REVISION

GATHERED_POINTS = 2_000_000
"""The max number of points that the database holds in memory at once, at 24 bytes each. More are read in passes, each
over a range of keys.
"""
CONNECT_SECONDS = 5
SILENT_MILLISECONDS = 20_000
"""A connection is given up if the database acknowledges nothing for so long."""
POINTS: LiteralString = """
SELECT key, array_agg(step), array_agg(timestamp), array_agg(CASE WHEN is_nan THEN 'NaN' ELSE value END) FROM metrics
WHERE run_uuid = %(run_id)s AND step >= %(from_step)s
    AND (%(first)s::text IS NULL OR key BETWEEN %(first)s AND %(last)s)
GROUP BY key
"""
EXPECTED: LiteralString = "EXPLAIN (FORMAT JSON) SELECT 1 FROM metrics WHERE run_uuid = %s AND step >= %s"
COUNTS: LiteralString = """
SELECT key, count(*) FROM metrics WHERE run_uuid = %s AND step >= %s GROUP BY key ORDER BY key
"""
ARRAY_HEAD = 20
INT8_ARRAY, FLOAT8_ARRAY = 1016, 1022


class PostgreSQL:
    """Keeps one connection between two runs."""

    errors: tuple[type[Exception], ...] = (psycopg.Error, OSError)

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._connection: psycopg.Connection[Any] | None = None

    @contextmanager
    def snapshot(self, run_id: str, budget: Budget) -> Iterator[PostgreSQLSnapshot]:
        try:
            connection, revisions = self._begun(budget)
            yield PostgreSQLSnapshot(connection, revisions, run_id, budget)
            connection.rollback()
        except BaseException:
            # Nothing of an interrupted answer may reach the next run.
            self.close()
            raise

    def close(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None

    def _begun(self, budget: Budget) -> tuple[psycopg.Connection[Any], list[str]]:
        """A connection in a transaction that sees one moment and ends by itself at the deadline; and the revisions of
        the schema.
        """
        if self._connection:
            try:
                return self._connection, _begin(self._connection, budget)
            except self.errors:
                # It was closed while no run was read.
                self.close()
        self._connection = self._connect()
        return self._connection, _begin(self._connection, budget)

    def _connect(self) -> psycopg.Connection[Any]:
        connection = psycopg.connect(
            self._uri,
            connect_timeout=CONNECT_SECONDS,
            tcp_user_timeout=SILENT_MILLISECONDS,
            application_name="warmboard",
            # A pooler may give each transaction another connection.
            prepare_threshold=None,
        )
        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        adapters = connection.adapters
        adapters.register_loader(INT8_ARRAY, _IndicesLoader)
        adapters.register_loader(FLOAT8_ARRAY, _ValuesLoader)
        return connection


def _begin(connection: psycopg.Connection[Any], budget: Budget) -> list[str]:
    # Together with the statement that begins the transaction.
    with connection.pipeline():
        connection.execute(f"SET LOCAL statement_timeout = {max(1, int(budget.seconds() * 1000))}")
        return [str(revision) for (revision,) in connection.execute(REVISION).fetchall()]


class PostgreSQLSnapshot:
    def __init__(self, connection: psycopg.Connection[Any], revisions: list[str], run_id: str, budget: Budget) -> None:
        self._connection, self._revisions, self._run_id, self._budget = connection, revisions, run_id, budget

    def revisions(self) -> list[str]:
        return self._revisions

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        return self._execute(statement).fetchall()

    def all_rows(self, statements: Sequence[str]) -> list[list[tuple[Any, ...]]]:
        with self._connection.pipeline():
            cursors = [self._execute(statement) for statement in statements]
            return [cursor.fetchall() for cursor in cursors]

    def _execute(self, statement: str) -> psycopg.Cursor[Any]:
        # A constant of ours, which names its values as SQLite does.
        own = re.sub(r":([a-z_]+)", r"%(\1)s", statement)
        return self._connection.execute(own, {**GIVEN, "run_id": self._run_id})

    def may_write(self) -> bool:
        return bool(self.rows("SELECT has_table_privilege('metrics', 'INSERT, UPDATE, DELETE')")[0][0])

    def points(self, from_step: int | None, alive: Callable[[], None]) -> Iterator[Column]:
        begin = -(2**63) if from_step is None else from_step
        for first, last in self._passes(begin):
            given = {"run_id": self._run_id, "from_step": begin, "first": first, "last": last}
            # The connection is locked until its stream is closed.
            stream: Any = self._connection.cursor().stream(POINTS, given, binary=True)
            with closing(stream):
                for key, steps, timestamps, values in stream:
                    self._budget.receive(POINT_BYTES * len(steps))
                    yield key, steps, timestamps, values
                    alive()

    def _passes(self, begin: int) -> list[tuple[str | None, str | None]]:
        """Ranges of keys with at most GATHERED_POINTS each; one without bounds if the planner expects no more. That is
        much faster than counting.
        """
        [(plan,)] = self._connection.execute(EXPECTED, (self._run_id, begin)).fetchall()
        if plan[0]["Plan"]["Plan Rows"] <= GATHERED_POINTS:
            return [(None, None)]
        counts = self._connection.execute(COUNTS, (self._run_id, begin)).fetchall()
        self._budget.check(POINT_BYTES * sum(count for _, count in counts))
        return list(ranges_of(counts, GATHERED_POINTS))


def ranges_of(counts: list[tuple[str, int]], most: int) -> Iterator[tuple[str, str]]:
    """Ranges (first, last) of keys, which come in the database's order with their numbers of points. A range has at
    most ``most`` points, or one key.
    """
    keys: list[str] = []
    points = 0
    for key, count in counts:
        if keys and points + count > most:
            yield keys[0], keys[-1]
            keys, points = [], 0
        keys.append(key)
        points += count
    if keys:
        yield keys[0], keys[-1]


class _IndicesLoader(Loader):
    """Loads bigint[] as int64. PostgreSQL sends a header, then each element after its length; none of them is null.

    Format: https://github.com/postgres/postgres/blob/master/src/backend/utils/adt/arrayfuncs.c (``array_send``).
    """

    format = Format.BINARY
    element = np.dtype([("length", ">i4"), ("element", ">i8")])

    def load(self, data: Buffer) -> NDArray[Any]:
        found = np.frombuffer(data, self.element, offset=ARRAY_HEAD)["element"]
        return found.astype(found.dtype.newbyteorder("="))


class _ValuesLoader(_IndicesLoader):
    """Loads double precision[] as float64."""

    element = np.dtype([("length", ">i4"), ("element", ">f8")])
