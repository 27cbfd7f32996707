"""A run's points from PostgreSQL over psycopg 3: gathered by key in the database and sent as binary arrays, which NumPy
reads where they are. A third of the time that rows take.
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
"""So many the database may hold in memory, at 24 bytes each; more it gathers in passes, each over a range of keys."""
_ARRAY_HEAD = 20
_INT8_ARRAY, _FLOAT8_ARRAY = 1016, 1022
_GATHER: LiteralString = """
    SELECT key, array_agg(step), array_agg(timestamp), array_agg(CASE WHEN is_nan THEN 'NaN' ELSE value END)
"""


class _IndicesLoader(Loader):
    """bigint[] → int64. PostgreSQL sends a head, then each element behind its length; no column here may be null."""

    format = Format.BINARY
    element = np.dtype([("length", ">i4"), ("element", ">i8")])

    def load(self, data: Buffer) -> NDArray[Any]:
        found = np.frombuffer(data, self.element, offset=_ARRAY_HEAD)["element"]
        return found.astype(found.dtype.newbyteorder("="))


class _ValuesLoader(_IndicesLoader):
    """double precision[] → float64."""

    element = np.dtype([("length", ">i4"), ("element", ">f8")])


def read_points(session: Session, selection: Selection, gathered: int = GATHERED_POINTS) -> Iterator[Points]:
    """Metric by metric, as of one moment."""
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
    """How many points PostgreSQL's planner expects, for next to no time."""
    [(plan,)] = connection.execute("EXPLAIN (FORMAT JSON) SELECT 1" + where, values).fetchall()
    return int(plan[0]["Plan"]["Plan Rows"])


def _gathered(connection: Connection[Any], where: LiteralString, values: dict[str, Any]) -> Iterator[Points]:
    cursor: Cursor[Any] = connection.cursor()
    cursor.adapters.register_loader(_INT8_ARRAY, _IndicesLoader)
    cursor.adapters.register_loader(_FLOAT8_ARRAY, _ValuesLoader)
    # psycopg's connection stays locked until its stream is closed: a rollback before that would wait for ever.
    stream: Any = cursor.stream(_GATHER + where + " GROUP BY key", values, binary=True)
    with closing(stream):
        for columns in stream:
            yield Points.of(*columns)
