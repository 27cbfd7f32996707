"""A store that has the charts of 100,000 runs: ``make bench-entries``. What its tables and indexes take, and how long a
body that Redis lacks takes to read, compared with a store of 1,000.

BENCH_ENTRIES_RUNS is another number of runs; one takes about 0.15 MB.
"""

from __future__ import annotations

import hashlib
import os
import random
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator

import psycopg
import requests

from benchmarks.backfill import EPOCHS, KEYS, values
from benchmarks.burst import running_stack
from benchmarks.report import Measure, percentile, say
from benchmarks.runs import insert_run
from benchmarks.runs_list import serving
from benchmarks.servers import new_postgres
from deploy.local.postgres import Postgres

FEW, MANY = 1_000, int(os.environ.get("BENCH_ENTRIES_RUNS") or 100_000)
READS = 300
"""Each of another run, so that none is in Redis."""
BUDGET = 1.5
TABLES = ("store_run", "store_runparam", "store_runtag", "store_runmetric", "store_runsource", "store_warmentry")
OWN_KEYS = ("run_id", "id")
STEP = 5_000


def measure() -> Iterator[Measure]:
    """Megabytes of each table and of its indexes; ms of reads from the tables, with those of the few as reference."""
    with new_postgres() as (postgres, folder):
        run = _warm_run(_new(postgres, "few"))
        _new(postgres, "many", template="few")
        databases = {FEW: postgres.url("few"), MANY: postgres.url("many")}
        for runs, database in databases.items():
            _multiply(database, run, runs)
        yield from _sizes(databases[MANY])
        with serving(folder, databases[FEW], "few") as few, serving(folder, databases[MANY], "many") as many:
            times = _read({FEW: few, MANY: many})
    value, reference = (statistics.median(times[runs]) for runs in (MANY, FEW))
    yield Measure(
        "a history that Redis lacks, median", value, "ms", reference, f"≤ {BUDGET:g}", value <= BUDGET * reference
    )
    yield Measure("a history that Redis lacks, p95", percentile(times[MANY], 0.95), "ms", percentile(times[FEW], 0.95))


def _new(postgres: Postgres, name: str, template: str = "template1") -> str:
    """The address of a new database."""
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    return postgres.url(name)


def _warm_run(database: str) -> str:
    """The ID of a run that is warm in this store."""
    say(f"one run of {len(KEYS)} metrics by {EPOCHS} epochs")
    with running_stack(DATABASE_URL=database) as supervisor:
        environ = supervisor.stack.environ
        run = insert_run(environ["MLFLOW_TRACKING_URI"], environ["MLFLOW_BACKEND_STORE_URI"], EPOCHS, values)
        subprocess.run([sys.executable, "-m", "workers", "warm", run], env={**os.environ, **environ}, check=True)
    return run


def _multiply(database: str, run: str, runs: int) -> None:
    """Copy all rows of the run, as ``md5(1)`` to ``md5(runs)``."""
    say(f"copying it {runs:,} times")
    with psycopg.connect(database, autocommit=True) as connection:
        for begin in range(1, runs + 1, STEP):
            last = min(begin + STEP - 1, runs)
            for table in TABLES:
                columns = ", ".join(_columns(connection, table))
                connection.execute(
                    f"INSERT INTO {table} (run_id, {columns}) SELECT md5(n::text), {columns} FROM {table},"  # noqa: S608
                    f" generate_series({begin}, {last}) n WHERE run_id = '{run}'"
                )
        connection.execute("VACUUM ANALYZE")


def _columns(connection: psycopg.Connection[tuple[str, ...]], table: str) -> list[str]:
    found = connection.execute("SELECT column_name FROM information_schema.columns WHERE table_name = %s", [table])
    return [name for (name,) in found if name not in OWN_KEYS]


def _sizes(database: str) -> Iterator[Measure]:
    with psycopg.connect(database) as connection:
        for table in TABLES:
            found = connection.execute(f"SELECT pg_table_size('{table}'), pg_indexes_size('{table}')").fetchone()
            for what, size in zip(("rows", "indexes"), found or (), strict=True):
                yield Measure(f"{MANY:,} runs, {table}: {what}", size / 1e6, "MB")


def _read(sites: dict[int, str]) -> dict[int, list[float]]:
    """Milliseconds by the number of runs, both in turn."""
    say(f"reading {READS} histories of each")
    times: dict[int, list[float]] = defaultdict(list)
    chosen = {runs: random.sample(range(1, runs + 1), READS) for runs in sites}
    with requests.Session() as session:
        for number in range(READS):
            for runs, site in sites.items():
                run = hashlib.md5(str(chosen[runs][number]).encode(), usedforsecurity=False).hexdigest()
                begin = time.perf_counter()
                session.get(f"{site}api/runs/{run}/training-history/", timeout=60).raise_for_status()
                times[runs].append((time.perf_counter() - begin) * 1000)
    return times
