"""Read a run's points from PostgreSQL with psycopg 3, in a third of the time that rows take.

The database groups the points by key and sends binary arrays, which NumPy reads in place.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any, LiteralString

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection, Cursor
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.pq import Format
from sqlalchemy.orm import Session

from warmboard_mlflow.points import Points
from warmboard_mlflow.selection import Selection, ranges_of

GATHERED_POINTS = 2_000_000
"""Max number of points that the database holds in memory, at 24 bytes each. More are read in passes, by key ranges."""
_ARRAY_HEAD = 20
_INT8_ARRAY, _FLOAT8_ARRAY = 1016, 1022
_GATHER: LiteralString = """
    SELECT key, array_agg(step), array_agg(timestamp), array_agg(CASE WHEN is_nan THEN 'NaN' ELSE value END)
"""


class _IndicesLoader(Loader):
    """Loads bigint[] as int64. PostgreSQL sends a header, then each element after its length. No column is nullable.

    Format: https://github.com/postgres/postgres/blob/master/src/backend/utils/adt/arrayfuncs.c (``array_send``).
    """

    format = Format.BINARY
    element = np.dtype([("length", ">i4"), ("element", ">i8")])

    def load(self, data: Buffer) -> NDArray[Any]:
        found = np.frombuffer(data, self.element, offset=_ARRAY_HEAD)["element"]
        return found.astype(found.dtype.newbyteorder("="))


class _ValuesLoader(_IndicesLoader):
    """Loads double precision[] as float64."""

    element = np.dtype([("length", ">i4"), ("element", ">f8")])


def read_points(session: Session, selection: Selection, gathered: int = GATHERED_POINTS) -> Iterator[Points]:
    """Yield a run's points, metric by metric. All are as of the session's transaction."""
    connection: Connection[Any] = session.connection().connection.driver_connection  # type: ignore[assignment]
    where, values = _conditions(selection)
    if _expected(connection, where, values) <= gathered:
        yield from _gathered(connection, where, values)
        return
    counts = connection.execute("SELECT key, count(*)" + where + " GROUP BY key ORDER BY key", values).fetchall()
    for first, last in ranges_of(counts, gathered):
        bounds = {"first": first, "last": last}
        yield from _gathered(connection, where + " AND key BETWEEN %(first)s AND %(last)s", {**values, **bounds})


def _conditions(selection: Selection) -> tuple[LiteralString, dict[str, Any]]:
    where: LiteralString = " FROM metrics WHERE run_uuid = %(run_id)s"
    if selection.prefixes:
        where += " AND key ^@ ANY(%(prefixes)s)"
    if selection.from_step is not None:
        where += " AND step >= %(from_step)s"
    values = {"run_id": selection.run_id, "prefixes": list(selection.prefixes), "from_step": selection.from_step}
    return where, values


def _expected(connection: Connection[Any], where: LiteralString, values: dict[str, Any]) -> int:
    """The number of points that PostgreSQL's planner expects. Much faster than counting."""
    [(plan,)] = connection.execute("EXPLAIN (FORMAT JSON) SELECT 1" + where, values).fetchall()
    return int(plan[0]["Plan"]["Plan Rows"])


def _gathered(connection: Connection[Any], where: LiteralString, values: dict[str, Any]) -> Iterator[Points]:
    cursor: Cursor[Any] = connection.cursor()
    cursor.adapters.register_loader(_INT8_ARRAY, _IndicesLoader)
    cursor.adapters.register_loader(_FLOAT8_ARRAY, _ValuesLoader)
    # psycopg's connection stays locked until its stream is closed; a rollback before that would wait forever.
    stream: Any = cursor.stream(_GATHER + where + " GROUP BY key", values, binary=True)
    with closing(stream):
        for columns in stream:
            yield Points.of(*columns)
