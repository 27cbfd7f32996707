"""Runs to measure with: the 134 keys of the catalogue at any length, logged like the trainer does, or inserted into
MLflow's tables if logging would take minutes.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import requests
import sqlalchemy

from warmboard.contract.catalogue import PLACES, bin_key, edges_param
from warmboard.contract.entries import HistogramType, Tower

Post = Callable[[str, dict[str, Any]], dict[str, Any]]
Values = Callable[[int], Iterable[Mapping[str, float]]]
"""For a number of epochs, the values of each epoch by key."""
BINS = 25
COPIES = 100
"""Copies of a run that one statement makes: it reads the run once."""
FINAL = ["final_loss", "final_val_loss", "test_loss", *(f"test_recall_at_{k}" for k in (5, 10, 50, 100))]


def epoch_keys() -> list[str]:
    """The 127 keys of one epoch."""
    bins = [bin_key(type_, tower, number) for tower in Tower for type_ in HistogramType for number in range(BINS)]
    return [*PLACES, *bins]


def noise(epochs: int) -> Iterator[dict[str, float]]:
    """127 random values per epoch."""
    random, keys = np.random.default_rng(1), epoch_keys()
    for _ in range(epochs):
        yield dict(zip(keys, random.normal(size=len(keys)).tolist(), strict=True))


def log_run(tracking_uri: str, epochs: int) -> str:
    """Log one finished run of ``epochs`` epochs, one log-batch each, and return its ID."""
    post, run_id, begin = _begin(tracking_uri)
    for epoch, values in enumerate(noise(epochs)):
        batch = [
            {"key": key, "value": value, "step": epoch, "timestamp": begin + epoch} for key, value in values.items()
        ]
        post("runs/log-batch", {"run_id": run_id, "metrics": batch})
    _finish(post, run_id, begin, epochs)
    return run_id


def insert_run(tracking_uri: str, database_uri: str, epochs: int, values: Values = noise) -> str:
    """Insert the run that ``log_run`` would log, or one with other values, into MLflow's tables; return its ID."""
    post, run_id, begin = _begin(tracking_uri)
    last = {}
    with _connection(database_uri) as insert:
        for epoch, numbers in enumerate(values(epochs)):
            last = {key: (key, value, begin + epoch, epoch, run_id) for key, value in numbers.items()}
            insert("metrics", list(last.values()))
        insert("latest_metrics", list(last.values()))
    _finish(post, run_id, begin, epochs)
    return run_id


def copies_of(tracking_uri: str, database_uri: str, run_id: str, times: int) -> list[str]:
    """IDs of ``times`` new runs, in one experiment, that ended just now, with the tags and metrics of the given run."""
    _, experiment, begin = _experiment(tracking_uri)
    copies = [uuid.uuid4().hex for _ in range(times)]
    engine = sqlalchemy.create_engine(database_uri)
    changed = {"experiment_id": int(experiment), "start_time": begin, "end_time": begin + 1}
    for first in range(0, times, COPIES):
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                # Without looking for the run of every row.
                connection.execute(sqlalchemy.text("SET LOCAL session_replication_role = replica"))
            for table in ("runs", "tags", "metrics", "latest_metrics"):
                _copy(connection, table, run_id, copies[first : first + COPIES], changed)
    engine.dispose()
    return copies


def _copy(
    connection: sqlalchemy.Connection, table: str, run_id: str, copies: list[str], changed: dict[str, int]
) -> None:
    """Insert the run's rows of the table for each copy, by one statement, with other values in some columns."""
    names = [str(column["name"]) for column in sqlalchemy.inspect(connection).get_columns(table)]
    given = {name: value for name, value in changed.items() if name in names}
    ids = {f"copy{number}": copy for number, copy in enumerate(copies)}
    rows = ", ".join(f"(:{name})" for name in ids)
    # Both databases call the column of VALUES so. In its order and that of time, as a run lies there that was logged.
    values = ["column1" if name == "run_uuid" else f":{name}" if name in given else name for name in names]
    found = f"{table}, (VALUES {rows}) AS copies WHERE run_uuid = :run ORDER BY column1"
    found += ", timestamp" if "timestamp" in names else ""
    statement = f"INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(values)} FROM {found}"  # noqa: S608
    connection.execute(sqlalchemy.text(statement), ids | given | {"run": run_id})


def _begin(tracking_uri: str) -> tuple[Post, str, int]:
    """Create a run: a function that posts to MLflow's API, the run's ID, and its start time in ms."""
    post, experiment, begin = _experiment(tracking_uri)
    return post, _run(post, experiment, begin), begin


def _experiment(tracking_uri: str) -> tuple[Post, str, int]:
    """Create an experiment: a function that posts to MLflow's API, the experiment's ID, and the time in ms."""
    api = f"{tracking_uri}/api/2.0/mlflow/"
    session = requests.Session()

    def post(path: str, document: dict[str, Any]) -> dict[str, Any]:
        answer = session.post(api + path, json=document, timeout=60)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    experiment = post("experiments/create", {"name": f"benchmark-{time.time_ns()}"})["experiment_id"]
    return post, str(experiment), int(time.time() * 1000)


def _run(post: Post, experiment: str, begin: int) -> str:
    run = post("runs/create", {"experiment_id": experiment, "start_time": begin})["run"]
    return str(run["info"]["run_id"])


def _finish(post: Post, run_id: str, begin: int, epochs: int) -> None:
    finals = [{"key": key, "value": 0.5, "step": 0, "timestamp": begin} for key in FINAL]
    edges = ",".join(f"{edge:.6g}" for edge in np.linspace(-1, 1, BINS + 1))
    params = [{"key": edges_param(type_, tower), "value": edges} for tower in Tower for type_ in HistogramType]
    post("runs/log-batch", {"run_id": run_id, "metrics": finals, "params": params})
    post("runs/update", {"run_id": run_id, "status": "FINISHED", "end_time": begin + epochs})


@contextmanager
def _connection(database_uri: str) -> Iterator[Callable[[str, list[Any]], None]]:
    """A function that inserts rows (key, value, timestamp, step, run) into an MLflow table; committed at the end."""
    engine = sqlalchemy.create_engine(database_uri)
    connection = engine.raw_connection()
    cursor, mark = connection.cursor(), "?" if engine.dialect.name == "sqlite" else "%s"
    places, false = ", ".join([mark] * 5), "0" if engine.dialect.name == "sqlite" else "false"
    columns = "key, value, timestamp, step, run_uuid, is_nan"
    try:
        yield lambda table, rows: cursor.executemany(
            f"INSERT INTO {table} ({columns}) VALUES ({places}, {false})",  # noqa: S608
            rows,
        )
        connection.commit()
    finally:
        connection.close()
        engine.dispose()
