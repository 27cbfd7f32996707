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
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import sqlalchemy
from sqlalchemy import text

from benchmarks.burst import count, publish, running_stack, wait
from benchmarks.report import Measure, say
from benchmarks.runs import copies_of, insert_run
from benchmarks.servers import new_postgres
from deploy.local.postgres import Postgres
from deploy.local.stack import Stack

RUNS, EPOCHS = 1_000, 100
WHERE = {"SQLite": "PostgreSQL", "PostgreSQL": "SQLite"}
"""From which database a backup is restored on which."""
Digests = dict[tuple[str, str, str], str]
"""By run, name and resolution of an entry."""


def measure() -> Iterator[Measure]:
    """Seconds and megabytes of a backup without and with charts, and of what follows. MLflow is on PostgreSQL."""
    with new_postgres() as (postgres, folder):
        database = _new(postgres, "mlflow")
        with running_stack(MLFLOW_BACKEND_STORE_URI=database) as servers:
            mlflow = servers.stack.environ["MLFLOW_TRACKING_URI"]
            say(f"inserting {RUNS:,} runs of {EPOCHS} epochs")
            empty = _size(database)
            runs = copies_of(mlflow, database, insert_run(mlflow, database, EPOCHS), RUNS)
            yield Measure("MLflow's database", (_size(database) - empty) / 1e6, "MB")
            for begin, end in WHERE.items():
                file = folder / f"{begin}.gz"
                name = f"{begin} → {end}"
                with running_stack(MLFLOW_TRACKING_URI=mlflow, **_address(begin, postgres, "lost")) as lost:
                    before = yield from _lose(name, lost.stack, file, runs)
                with running_stack(MLFLOW_TRACKING_URI=mlflow, **_address(end, postgres, "found")) as found:
                    yield from _find(name, found.stack, file, before)


def _lose(name: str, stack: Stack, file: Path, runs: list[str]) -> Generator[Measure, None, Digests]:
    """Warm all runs and back them up. Returns what the entries are."""
    say(f"{name}: warming, for the first time")
    empty, began = _size(stack.environ["DATABASE_URL"]), time.monotonic()
    publish(stack, runs, EPOCHS)
    wait(lambda: count(stack, "store_warmentry", runs), RUNS)
    yield Measure(f"{name}: warming all from their events", time.monotonic() - began, "s")
    yield Measure(f"{name}: the store", (_size(stack.environ["DATABASE_URL"]) - empty) / 1e6, "MB")
    yield from _backup(name, stack, file)
    yield from _backup(f"{name}, with charts", stack, file.with_suffix(".all"), "--everything")
    return _digests(stack)


def _find(name: str, stack: Stack, file: Path, before: Digests) -> Iterator[Measure]:
    """Restore on a stack that has nothing."""
    say(f"{name}: restoring")
    yield Measure(f"{name}: restore", _manage(stack, "restore", str(file)), "s")
    began, runs = time.monotonic(), list({run_id for run_id, _, _ in before})
    wait(lambda: count(stack, "store_warmentry", runs), RUNS)
    yield Measure(f"{name}: until all charts were fetched again", time.monotonic() - began, "s")
    yield _equal(name, before, _digests(stack))
    whole = _manage(stack, "restore", "--replace", str(file.with_suffix(".all")))
    yield Measure(f"{name}, with charts: restore", whole, "s")
    yield _equal(f"{name}, with charts", before, _digests(stack))


def _size(address: str) -> int:
    """Bytes of a database, with its indexes."""
    if address.startswith("sqlite"):
        file = Path(address.removeprefix("sqlite:///"))
        return sum(path.stat().st_size for path in file.parent.glob(f"{file.name}*"))
    with sqlalchemy.create_engine(address, poolclass=sqlalchemy.NullPool).connect() as connection:
        return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())


def _address(database: str, postgres: Postgres, name: str) -> dict[str, str]:
    """The setting of a new, empty database; on SQLite a stack has its own."""
    return {} if database == "SQLite" else {"DATABASE_URL": _new(postgres, name)}


def _new(postgres: Postgres, name: str) -> str:
    """The address of a new database."""
    with sqlalchemy.create_engine(postgres.url(), isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    return postgres.url(name)


def _backup(name: str, stack: Stack, file: Path, *options: str) -> Iterator[Measure]:
    yield Measure(f"{name}: backup", _manage(stack, "backup", *options, str(file)), "s")
    yield Measure(f"{name}: its size", file.stat().st_size / 1e6, "MB")


def _manage(stack: Stack, *arguments: str) -> float:
    """Seconds of the command, its start of a second included."""
    began = time.monotonic()
    command = [sys.executable, "-m", "webapp", "manage", *arguments]
    subprocess.run(command, env={**os.environ, **stack.environ}, check=True, stderr=subprocess.DEVNULL)
    return time.monotonic() - began


def _digests(stack: Stack) -> Digests:
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


def _equal(name: str, before: Digests, after: Digests) -> Measure:
    """How many entries are as they were. The budget: all, and no others."""
    same = sum(after.get(key) == digest for key, digest in before.items())
    return Measure(
        f"{name}: entries as they were", same, "", len(before), "all", same == len(before) == len(after) and same > 0
    )
