"""What the tables say about the runs of a storm: read with SQL, past all of our code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy
import zstandard
from sqlalchemy import DateTime, text

CACHED_AT = re.compile(rb'"cached_at":"[^"]*"')
Body = tuple[str, str, str]
"""Run, name, resolution."""


@dataclass(frozen=True)
class Row:
    """A row of the inbox."""

    source: str
    event_id: str
    run_id: str
    type: str
    state: str
    reason: str
    attempts: int
    mark: str
    published_at: datetime
    done_at: datetime | None


class Tables:
    """One database, by its DATABASE_URL."""

    def __init__(self, url: str) -> None:
        self._engine = sqlalchemy.create_engine(
            url.replace("postgresql://", "postgresql+psycopg://"), poolclass=sqlalchemy.NullPool
        )

    def inbox(self, mark: str) -> list[Row]:
        """All rows; ``mark`` is the attribute that is read as a row's mark."""
        columns = "source, event_id, run_id, type, state, reason, attempts, attributes, published_at, done_at"
        statement = text(f"select {columns} from store_inboxevent order by id").columns(  # noqa: S608
            published_at=DateTime(), done_at=DateTime(), attributes=sqlalchemy.JSON()
        )
        with self._connected() as connection:
            return [_row(dict(row), mark) for row in connection.execute(statement).mappings()]

    def bodies(self) -> dict[Body, bytes]:
        """Every entry's JSON, without the time of its making."""
        statement = text("select run_id, name, resolution, zstd from store_warmentry")
        with self._connected() as connection:
            return {
                (run, name, resolution): CACHED_AT.sub(b"", _decompressed(bytes(body)))
                for run, name, resolution, body in connection.execute(statement)
            }

    def entries_twice(self) -> int:
        """The number of entries that are there more than once."""
        statement = text(
            "select count(*) from (select 1 from store_warmentry group by run_id, name, resolution"
            " having count(*) > 1) as twice"
        )
        with self._connected() as connection:
            return int(connection.execute(statement).scalar_one())

    @contextmanager
    def _connected(self) -> Iterator[sqlalchemy.Connection]:
        with self._engine.connect() as connection:
            yield connection


def _row(found: dict[str, Any], mark: str) -> Row:
    attributes = found.pop("attributes") or {}
    for column in ("published_at", "done_at"):
        moment: datetime | None = found[column]
        found[column] = moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment
    return Row(**found, mark=str(attributes.get(mark, "")))


def _decompressed(body: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(body)
