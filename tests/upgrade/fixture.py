"""What the old version left, read from ``fixture/`` and loaded into a database and a Redis."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import psycopg
import redis

from workers.history.fetched import FetchedRun
from workers.history.ndjson import read_run
from workers.history.points import Points

FOLDER = Path(__file__).parent / "fixture"
Row = list[Any]
"""Values in the order of the table's columns: bytes as ``{"base64": text}``, times as text in UTC."""


def read(name: str) -> Any:
    """The content of a JSON file of the fixture."""
    return json.loads((FOLDER / name).read_text())


def from_base64(value: Mapping[str, str]) -> bytes:
    return base64.b64decode(value["base64"])


RUNS: dict[str, str] = read("known.json")["runs"]
ROWS: dict[str, Any] = read("rows.json")
NOT_KEPT = ("weight_norm", 5, -1.0, 1)
"""The point of ``golden`` that its source lacks: metric, step, value, timestamp."""


def rows(table: str, **given: Any) -> list[dict[str, Any]]:
    """The rows of a table in the fixture that have these values."""
    content = ROWS[table]
    found = [dict(zip(content["columns"], row, strict=True)) for row in content["rows"]]
    return [row for row in found if all(row[column] == value for column, value in given.items())]


def runs_of_mlflow() -> dict[str, FetchedRun]:
    """Runs as MLflow has them: ``golden``, of whose points the old version kept one per step, and ``plain``."""
    sources = {name: from_base64(rows("store_runsource", run_id=RUNS[name])[0]["body"]) for name in ("golden", "plain")}
    golden, plain = read_run(sources["golden"], in_part=True), read_run(sources["plain"])
    key, *missing = NOT_KEPT
    kept = golden.points[key]
    both = zip((kept.steps, kept.values, kept.timestamps), missing, strict=True)
    points = {**golden.points, key: Points.of(*(np.append(column, value) for column, value in both))}
    return {RUNS["golden"]: replace(golden, points=points), RUNS["plain"]: plain}


class Database(Protocol):
    """A database that holds the fixture. ``url`` is its DATABASE_URL."""

    url: str

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """All rows of a SELECT."""

    def execute(self, sql: str) -> None:
        """A statement without rows, committed."""

    def insert(self, table: str, row: Mapping[str, Any], suffix: str = "") -> None:
        """A row in the form that the fixture has; ``suffix`` ends the statement."""

    def columns(self) -> set[tuple[str, str]]:
        """Table and column of every column."""


class Sqlite:
    def __init__(self, path: Path) -> None:
        self.url = f"sqlite:///{path}"
        self._path = path

    def load(self) -> None:
        with sqlite3.connect(self._path) as connection:
            connection.executescript((FOLDER / "schema-sqlite.sql").read_text())
            for table, content in read("rows.json").items():
                connection.executemany(_insert(table, content["columns"], "?"), map(_values, content["rows"]))
        connection.close()

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(self._path)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def execute(self, sql: str) -> None:
        connection = sqlite3.connect(self._path, timeout=60)
        try:
            with connection:
                connection.execute(sql)
        finally:
            connection.close()

    def insert(self, table: str, row: Mapping[str, Any], suffix: str = "") -> None:
        connection = sqlite3.connect(self._path, timeout=60)
        try:
            with connection:
                connection.execute(f"{_insert(table, list(row), '?')} {suffix}", _values([*row.values()]))
        finally:
            connection.close()

    def columns(self) -> set[tuple[str, str]]:
        sql = """
            SELECT t.name, c.name FROM sqlite_master t, pragma_table_info(t.name) c
            WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%'
        """
        return {(table, column) for table, column in self.query(sql)}


class Postgresql:
    def __init__(self, url: str) -> None:
        self.url = url

    def load(self) -> None:
        with self._connect() as connection:
            connection.execute((FOLDER / "schema-postgresql.sql").read_bytes())
            for table, content in read("rows.json").items():
                insert = _insert(table, content["columns"], "%s").encode()
                connection.cursor().executemany(insert, list(map(_values, content["rows"])))
            # The rows came with their numbers, which the old program's sequences had given.
            sequences = """
                SELECT format('SELECT setval(%%L, (SELECT max(%%I) FROM %%I))', pg_get_serial_sequence(table_name,
                column_name), column_name, table_name) FROM information_schema.columns
                WHERE table_schema = 'public' AND is_identity = 'YES'
            """
            for (statement,) in connection.execute(sequences.replace("%%", "%").encode()).fetchall():
                connection.execute(statement.encode())

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with self._connect() as connection:
            return connection.execute(sql.encode()).fetchall()

    def execute(self, sql: str) -> None:
        with self._connect() as connection:
            connection.execute(sql.encode())

    def insert(self, table: str, row: Mapping[str, Any], suffix: str = "") -> None:
        with self._connect() as connection:
            connection.execute(f"{_insert(table, list(row), '%s')} {suffix}".encode(), _values([*row.values()]))

    def columns(self) -> set[tuple[str, str]]:
        sql = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
        return {(table, column) for table, column in self.query(sql)}

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(self.url, options="-c timezone=UTC")


def load_redis(client: redis.Redis) -> None:
    """Every key as the old version left it."""
    for key, content in read("redis.json").items():
        value = content["value"]
        match content["type"]:
            case "string":
                client.set(key, from_base64(value) if isinstance(value, dict) else value)
            case "list":
                client.rpush(key, *value)
            case "hash":
                client.hset(key, mapping=value)
            case "set":
                client.sadd(key, *value)
            case "zset":
                client.zadd(key, dict(value))


def messages() -> dict[str, tuple[str, str]]:
    """ID → name and arguments (Celery's text) of each task that Redis holds, waiting or taken by the killed worker."""
    keys = read("redis.json")
    waiting = [json.loads(text) for key in keys if keys[key]["type"] == "list" for text in keys[key]["value"]]
    taken = [json.loads(text)[0] for text in keys["warmboard:celery:unacked"]["value"].values()]
    heads = [message["headers"] for message in waiting + taken]
    return {head["id"]: (head["task"], head["argsrepr"]) for head in heads}


def as_stored(value: Any, like: Any) -> Any:
    """A value that a database gave, in the form that the fixture has; ``like`` is the fixture's."""
    if isinstance(value, datetime):
        text = value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
        return text if "." in str(like) else text.removesuffix(".000000")
    if isinstance(value, bytes | memoryview):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(like, dict | list) and isinstance(value, str):
        return json.loads(value)
    return value


def _insert(table: str, columns: list[str], mark: str) -> str:
    names = ", ".join(f'"{column}"' for column in columns)
    return f'INSERT INTO "{table}" ({names}) VALUES ({", ".join([mark] * len(columns))})'  # noqa: S608 - ours


def _values(row: Row) -> Row:
    return [_value(value) for value in row]


def _value(value: Any) -> Any:
    if isinstance(value, dict) and value.keys() == {"base64"}:
        return from_base64(value)
    return json.dumps(value) if isinstance(value, dict | list) else value
