"""A long queue: 20,000 events wait while no worker runs, then one worker process warms their runs: ``python -m
benchmarks queued``. docs/scale.md has what the model says of it. BENCH_QUEUED_RUNS is how many there are (20,000).

A run costs the same wherever it stands in the queue if the first ones, behind which most wait, are as fast as the last.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

import sqlalchemy

from benchmarks.backfill import values
from benchmarks.burst import publish, running_stack, scalar, wait
from benchmarks.report import Measure, say
from benchmarks.runs import copies_of, insert_run
from deploy.local.stack import Stack

QUEUED = int(os.environ.get("BENCH_QUEUED_RUNS") or 20_000)
EPOCHS = 20
PARTS = 10
"""The runs in the order in which they became warm, in parts that are timed one by one."""
AGREES = 0.2
"""The model (docs/scale.md) has one time for every run: parts may differ from it by this much."""
PATIENCE = 7200.0


def measure() -> Iterator[Measure]:
    """Events that a subscriber records a second; runs that a worker warms a second: the first, the last, all."""
    with running_stack() as supervisor:
        stack = supervisor.stack
        supervisor.processes["worker"].stop()
        mlflow, database = stack.environ["MLFLOW_TRACKING_URI"], stack.environ["MLFLOW_BACKEND_STORE_URI"]
        say(f"inserting {QUEUED:,} runs of 34 metrics by {EPOCHS} epochs")
        runs = copies_of(mlflow, database, insert_run(mlflow, database, EPOCHS, values), QUEUED)
        say(f"publishing {QUEUED:,} events")
        began = time.monotonic()
        publish(stack, runs, EPOCHS)
        wait(lambda: _count(stack, "store_inboxevent"), QUEUED, PATIENCE)
        yield Measure("events published and recorded", QUEUED / (time.monotonic() - began), "events/s")
        say("one worker process")
        part = supervisor.processes["worker"].part
        supervisor.start(replace(part, command=[sys.executable, "-m", "workers", "worker", "--concurrency=1"]))
        wait(lambda: _count(stack, "store_run where warmed_at is not null"), QUEUED, PATIENCE)
        rates = _rates(stack)
    mean = PARTS / sum(1 / rate for rate in rates)
    yield Measure(f"{QUEUED:,} queued runs, 1 process", mean, "runs/s")
    for number, rate in enumerate(rates, 1):
        within = abs(rate / mean - 1) <= AGREES
        yield Measure(f"part {number} of {PARTS} / all", rate, "runs/s", mean, f"within {AGREES:.0%}", within)


def _rates(stack: Stack) -> list[float]:
    """Runs a second, of each part of them."""
    engine = sqlalchemy.create_engine(stack.environ["DATABASE_URL"], poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        rows = connection.execute(sqlalchemy.text("select warmed_at from store_run order by warmed_at")).scalars()
        times = [datetime.fromisoformat(str(row)).timestamp() for row in rows]
    size = len(times) // PARTS
    return [(size - 1) / (times[end - 1] - times[end - size]) for end in range(size, size * PARTS + 1, size)]


def _count(stack: Stack, where: str) -> int:
    return int(str(scalar(stack, f"select count(*) from {where}")))  # noqa: S608
