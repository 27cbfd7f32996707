"""The drill: ``make bench-restore``. A store of many runs is lost, its backup restored on a machine that has nothing,
and workers fetch the charts from MLflow again: how long that takes, and whether every entry is as it was.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy
from sqlalchemy import text

from benchmarks.burst import count, publish, running_stack, scalar, wait
from benchmarks.report import Measure, say
from benchmarks.runs import copies_of, insert_run
from deploy.local.postgres import Postgres
from deploy.local.stack import Stack

RUNS, EPOCHS = 1_000, 100
WHERE = {"SQLite": "PostgreSQL", "PostgreSQL": "SQLite"}
"""From which database a backup is restored on which."""


def measure() -> Iterator[Measure]:
    """Seconds and megabytes of a backup without and with charts, and of what follows."""
    with running_stack() as servers, _postgres() as postgres, tempfile.TemporaryDirectory() as folder:
        mlflow = servers.stack.environ["MLFLOW_TRACKING_URI"]
        database = servers.stack.environ["MLFLOW_BACKEND_STORE_URI"]
        say(f"inserting {RUNS:,} runs of {EPOCHS} epochs")
        runs = copies_of(mlflow, database, insert_run(mlflow, database, EPOCHS), RUNS)
        size = Path(database.removeprefix("sqlite:///")).stat().st_size
        yield Measure("MLflow's database, SQLite", size / 1e6, "MB")
        for begin, end in WHERE.items():
            name = f"{begin} → {end}"
            file = Path(folder) / f"{begin}.gz"
            with running_stack(MLFLOW_TRACKING_URI=mlflow, **_address(begin, postgres, "lost")) as lost:
                say(f"{name}: warming, for the first time")
                began = time.monotonic()
                publish(lost.stack, runs, EPOCHS)
                wait(lambda: count(lost.stack, "store_warmentry", runs), RUNS)  # called at once
                yield Measure(f"{name}: warming all from their events", time.monotonic() - began, "s")
                yield Measure(f"{name}: the store", _size(lost.stack) / 1e6, "MB")
                before = _digests(lost.stack)
                yield from _backup(name, lost.stack, file)
                yield from _backup(f"{name}, with charts", lost.stack, file.with_suffix(".all.gz"), "--everything")
            with running_stack(MLFLOW_TRACKING_URI=mlflow, **_address(end, postgres, "found")) as found:
                say(f"{name}: restoring on a new machine")
                yield Measure(f"{name}: restore", _manage(found.stack, "restore", str(file)), "s")
                began = time.monotonic()
                wait(lambda: count(found.stack, "store_warmentry", runs), RUNS)
                yield Measure(f"{name}: until all charts were fetched again", time.monotonic() - began, "s")
                yield _equal(name, before, _digests(found.stack))
                whole = _manage(found.stack, "restore", "--replace", str(file.with_suffix(".all.gz")))
                yield Measure(f"{name}, with charts: restore", whole, "s")
                yield _equal(f"{name}, with charts", before, _digests(found.stack))


def _size(stack: Stack) -> int:
    """Bytes of the database, with its indexes."""
    address = stack.environ["DATABASE_URL"]
    if address.startswith("sqlite"):
        return Path(address.removeprefix("sqlite:///")).stat().st_size
    return int(str(scalar(stack, "SELECT pg_database_size(current_database())")))


@contextmanager
def _postgres() -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory(prefix="warmboard-bench-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        server = Postgres(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _address(database: str, postgres: Postgres, name: str) -> dict[str, str]:
    """The setting of a new, empty database; a stack has its own on SQLite."""
    if database == "SQLite":
        return {}
    engine = sqlalchemy.create_engine(postgres.url(), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    return {"DATABASE_URL": postgres.url(name)}


def _backup(name: str, stack: Stack, file: Path, *options: str) -> Iterator[Measure]:
    yield Measure(f"{name}: backup", _manage(stack, "backup", *options, str(file)), "s")
    yield Measure(f"{name}: its size", file.stat().st_size / 1e6, "MB")


def _manage(stack: Stack, *arguments: str) -> float:
    """Seconds of the command, its start of a second included."""
    began = time.monotonic()
    command = [sys.executable, "-m", "webapp", "manage", *arguments]
    subprocess.run(command, env={**os.environ, **stack.environ}, check=True, stderr=subprocess.DEVNULL)
    return time.monotonic() - began


def _digests(stack: Stack) -> dict[tuple[str, str, str], str]:
    """Of every body, but for the time at which it was made."""
    engine = sqlalchemy.create_engine(stack.environ["DATABASE_URL"], poolclass=sqlalchemy.NullPool)
    found = {}
    with engine.connect().execution_options(yield_per=100) as connection:
        for run_id, name, resolution, body in connection.execute(
            text("SELECT run_id, name, resolution, gzip FROM store_warmentry")
        ):
            document = json.loads(gzip.decompress(bytes(body)))
            del document["cached_at"]
            found[run_id, name, resolution] = hashlib.sha256(json.dumps(document).encode()).hexdigest()
    return found


def _equal(name: str, before: dict[tuple[str, str, str], str], after: dict[tuple[str, str, str], str]) -> Measure:
    """How many entries are as they were. The budget: all, and no others."""
    same = sum(after.get(key) == digest for key, digest in before.items())
    return Measure(
        f"{name}: entries as they were", same, "", len(before), "all", same == len(before) == len(after) and same > 0
    )
