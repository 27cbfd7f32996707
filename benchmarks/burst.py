"""A burst: many runs complete at once, and one or two worker processes warm them."""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import requests
from google.cloud import pubsub_v1

from benchmarks.report import Measure, percentile, say
from benchmarks.runs import copies_of, insert_run
from deploy.local.stack import Stack
from deploy.local.supervisor import Supervisor
from warmboard.contract.events import RunEvent, RunStatus

RUNS, EPOCHS = 200, 100
PROCESSES = (1, 2)
PATIENCE = 300.0


def measure() -> Iterator[Measure]:
    """Warmed runs per second, and each run's seconds from publishing to warm."""
    with running_stack() as supervisor:
        mlflow, web = supervisor.stack.environ["MLFLOW_TRACKING_URI"], supervisor.stack.urls["web"]
        database = supervisor.stack.environ["MLFLOW_BACKEND_STORE_URI"]
        first = insert_run(mlflow, database, EPOCHS)
        for processes in PROCESSES:
            runs = copies_of(mlflow, database, first, RUNS)
            _restart_worker(supervisor, processes)
            say(f"a burst of {RUNS} runs, {processes} worker process(es)")
            begin = time.perf_counter()
            _publish(supervisor.stack, runs)
            waits = _wait_warm(web, runs)
            passed = time.perf_counter() - begin
            where = f"burst of {RUNS} runs, {processes} process{'' if processes == 1 else 'es'}"
            yield Measure(f"{where}: runs a second", RUNS / passed, "/s")
            yield Measure(f"{where}: publish → warm, median", statistics.median(waits), "s")
            yield Measure(f"{where}: publish → warm, p95", percentile(waits, 0.95), "s")


@contextmanager
def running_stack() -> Iterator[Supervisor]:
    """All parts, in a temporary folder; they stop with the context."""
    given = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    # Requests are counted as usual, and none is refused.
    given["WEBAPP_RATE_LIMIT"] = "1000000000"
    with (
        tempfile.TemporaryDirectory(prefix="warmboard-bench-") as folder,
        Supervisor(Stack(Path(folder), given)) as supervisor,
    ):
        yield supervisor


def _restart_worker(supervisor: Supervisor, processes: int) -> None:
    worker = supervisor.processes["worker"]
    worker.stop()
    worker.log.write_text("")
    part = replace(worker.part, command=[sys.executable, "-m", "workers", "worker", f"--concurrency={processes}"])
    supervisor.start(part).wait_ready(60)


def _publish(stack: Stack, runs: list[str]) -> None:
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
            epochs=EPOCHS,
        )
        data, attributes = event.encode()
        published.append(publisher.publish(topic, data, **attributes))
    for future in published:
        future.result(timeout=30)


def _wait_warm(web: str, runs: list[str]) -> list[float]:
    """Seconds from publish to warm of every run, as the webapp reports them."""
    waits: dict[str, float] = {}
    deadline = time.monotonic() + PATIENCE
    with requests.Session() as session:
        while len(waits) < len(runs):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(runs) - len(waits)} runs are not warm after {PATIENCE:.0f} s")
            waiting = [run_id for run_id in runs if run_id not in waits]
            for run_id in waiting:
                summary = session.get(f"{web}api/runs/{run_id}/", timeout=10).json()
                passed = summary.get("timings", {}).get("publish_to_warm_seconds")
                if passed is None:
                    # Try it later: polling would only take the cores from the workers.
                    time.sleep(0.2)
                    break
                waits[run_id] = passed
    return list(waits.values())
