"""Thousands of events are queued: how fast one or two worker processes warm their runs, beside what fetching and
encoding alone allow; and how fresh events do beside a replay.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import requests
import sqlalchemy
from google.cloud import pubsub_v1
from sqlalchemy import text

from benchmarks.report import Measure, percentile, say
from benchmarks.runs import copies_of, insert_run
from deploy.local.process import free_port
from deploy.local.stack import Stack
from deploy.local.supervisor import Supervisor
from warmboard.contract.events import RunEvent, RunStatus

QUEUED = {100: 2_000, 1_000: 100}
"""How many runs are queued, by their epochs: what a run costs beside fetching and encoding hardly grows with them."""
BOUND, BOUNDS = 200, 3
"""Runs that the bound is measured with at most, and how often."""
PROCESSES = (1, 2)
LEAST = 0.85
FRESH, BESIDE = 60, 1_000
"""Fresh events, and how many runs are replayed meanwhile at least."""
FRESH_SECONDS = 0.5
"""Between two fresh events."""
MOST_FRESH = 1.0
PATIENCE = 600.0


def measure() -> Iterator[Measure]:
    """Warmed runs per second, and the seconds of fresh events from publishing to warm."""
    # One MLflow server for several stacks, each of which finds every run new.
    with running_stack() as servers:
        mlflow = servers.stack.environ["MLFLOW_TRACKING_URI"]
        database = servers.stack.environ["MLFLOW_BACKEND_STORE_URI"]
        for epochs, runs in QUEUED.items():
            say(f"inserting {runs:,} runs of {epochs:,} epochs")
            first = insert_run(mlflow, database, epochs)
            queued = copies_of(mlflow, database, first, runs)
            for processes in PROCESSES:
                with running_stack(MLFLOW_TRACKING_URI=mlflow) as supervisor:
                    yield _rate(supervisor, processes, queued, epochs)
                    if runs >= BESIDE and processes == max(PROCESSES):
                        yield from _fresh(supervisor, copies_of(mlflow, database, first, FRESH), queued, epochs)


def _rate(supervisor: Supervisor, processes: int, runs: list[str], epochs: int) -> Measure:
    supervisor.processes["worker"].stop()
    say(f"fetching and encoding alone, {processes} process(es)")
    mlflow = supervisor.stack.environ["MLFLOW_TRACKING_URI"]
    # Of several, the best: by chance, one process of the server may have all connections.
    bound = max(_bound(mlflow, processes, runs[:BOUND]) for _ in range(BOUNDS))
    say(f"{len(runs):,} queued events, {processes} worker process(es)")
    publish(supervisor.stack, runs, epochs)
    wait(lambda: count(supervisor.stack, "store_inboxevent", runs), len(runs))
    worker = supervisor.processes["worker"]
    worker.log.write_text("")
    part = replace(worker.part, command=[sys.executable, "-m", "workers", "worker", f"--concurrency={processes}"])
    supervisor.start(part).wait_ready(60)
    wait(lambda: count(supervisor.stack, "store_warmentry", runs), len(runs))
    rate = (len(runs) - 1) / _seconds(supervisor.stack, runs)
    where = f"{len(runs):,} queued runs of {epochs:,} epochs, {processes} process{'' if processes == 1 else 'es'}"
    return Measure(f"{where} / fetching and encoding", rate, "runs/s", bound, f"≥ {LEAST:g}", rate >= LEAST * bound)


def _bound(mlflow: str, processes: int, runs: list[str]) -> float:
    """Runs a second that as many processes fetch and encode, without queue and store."""
    command = [sys.executable, "-m", "benchmarks.bound", mlflow]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    for number, process in enumerate(started):
        _tell(process, " ".join(runs[number::processes]))
    for process in started:
        _hear(process, "ready")
    begin = time.perf_counter()
    for process in started:
        _tell(process, "go")
    for process in started:
        _hear(process, "done")
    passed = time.perf_counter() - begin
    for process in started:
        process.communicate(timeout=60)
    return len(runs) / passed


def _tell(process: subprocess.Popen[str], line: str) -> None:
    if process.stdin:
        process.stdin.write(f"{line}\n")
        process.stdin.flush()


def _hear(process: subprocess.Popen[str], wanted: str) -> None:
    if not process.stdout or process.stdout.readline().strip() != wanted:
        raise RuntimeError(f"benchmarks.bound ended before it was {wanted}")


def _fresh(supervisor: Supervisor, fresh: list[str], replayed: list[str], epochs: int) -> Iterator[Measure]:
    """Events that come while a replay of many runs is carried out."""
    say(f"{len(fresh)} fresh events beside a replay of {len(replayed):,} runs")
    environ = supervisor.stack.environ
    replay = [sys.executable, "-m", "workers", "replay", "--all", "--wait", "0"]
    subprocess.run(replay, env=environ, check=True, capture_output=True)
    for run_id in fresh:
        publish(supervisor.stack, [run_id], epochs)
        time.sleep(FRESH_SECONDS)
    wait(lambda: count(supervisor.stack, "store_warmentry", fresh), len(fresh))
    left = scalar(supervisor.stack, "select count(*) from store_inboxevent where state in ('pending', 'warming')")
    if not left:
        raise RuntimeError("the replay had ended before the last fresh event: replay more runs")
    waits = fresh_waits(supervisor.stack.urls["web"], fresh)
    p95 = percentile(waits, 0.95)
    yield Measure("fresh events beside a replay: publish → warm, median", statistics.median(waits), "s")
    yield Measure(
        "fresh events beside a replay: publish → warm, p95", p95, "s", None, f"≤ {MOST_FRESH:g} s", p95 <= MOST_FRESH
    )


@contextmanager
def running_stack(**external: str) -> Iterator[Supervisor]:
    """All parts, but for ``external`` ones, in a temporary folder; they stop with the context. Metrics are counted. The
    sweep for unannounced runs is off: it would find runs before they are published.
    """
    given = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    # Requests are counted as usual, and none is refused.
    given |= {"WEBAPP_RATE_LIMIT": "1000000000", "DISCOVER_SECONDS": "0", "METRICS_PORT": str(free_port())} | external
    with (
        tempfile.TemporaryDirectory(prefix="warmboard-bench-") as folder,
        Supervisor(Stack(Path(folder), given)) as supervisor,
    ):
        yield supervisor


def publish(stack: Stack, runs: list[str], epochs: int) -> None:
    os.environ["PUBSUB_EMULATOR_HOST"] = stack.environ["PUBSUB_EMULATOR_HOST"]
    publisher = pubsub_v1.PublisherClient()
    topic = publisher.topic_path("warmboard-local", "warmboard-runs")
    published = []
    for run_id in runs:
        event = RunEvent.completed(
            run_id=run_id,
            tracking_server="default",
            experiment_name="benchmark",
            status=RunStatus.FINISHED,
            end_time=datetime.now(UTC),
            epochs=epochs,
        )
        data, attributes = event.encode()
        published.append(publisher.publish(topic, data, **attributes))
    for future in published:
        future.result(timeout=30)
    publisher.stop()


def wait(found: Callable[[], int], wanted: int, seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while found() < wanted:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{found()} of {wanted} after {seconds:.0f} s")
        time.sleep(1)  # Seldom: polling would take the cores from the workers.


def count(stack: Stack, table: str, runs: list[str]) -> int:
    """How many of these runs have a row in the table."""
    return int(str(scalar(stack, f"select count(distinct run_id) from {table} where run_id in ({_quoted(runs)})")))  # noqa: S608


def _seconds(stack: Stack, runs: list[str]) -> float:
    """From the first of these runs that was warm to the last."""
    of_these = f"from store_run where run_id in ({_quoted(runs)})"
    first, last = (str(scalar(stack, f"select {which}(warmed_at) {of_these}")) for which in ("min", "max"))
    return (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()


def _quoted(runs: list[str]) -> str:
    return ", ".join(f"'{run_id}'" for run_id in runs)


def scalar(stack: Stack, statement: str) -> object:
    engine = sqlalchemy.create_engine(stack.environ["DATABASE_URL"], poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        return connection.execute(text(statement)).scalar()


def fresh_waits(web: str, runs: list[str]) -> list[float]:
    """Seconds from publish to warm of every run, as the webapp reports them."""
    with requests.Session() as session:
        summaries = [session.get(f"{web}api/runs/{run_id}/", timeout=10).json() for run_id in runs]
    return [float(summary["timings"]["publish_to_warm_seconds"]) for summary in summaries]
