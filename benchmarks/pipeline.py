"""From published to opened: a viewer's wait with Warmboard, and the cost of opening a run without it; thousands of
events at once: ``make bench-pipeline``.
"""

from __future__ import annotations

import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial

import requests
from google.cloud import pubsub_v1

from benchmarks import burst
from benchmarks.burst import running_stack
from benchmarks.report import Measure, elapsed_ms, median_ms, percentile
from benchmarks.runs import copies_of, log_run
from benchmarks.ways import sequential
from warmboard.contract.events import RunEvent, RunStatus
from workers.fetch.fetcher import Fetcher, TrackingServer

EPOCHS = 100
TIMES = 5
PUBLISHED = 20
POLL_SECONDS = 0.02
"""Often enough for the precision, seldom enough not to take the cores from what is measured."""


def measure() -> list[Measure]:
    """All measures, on a stack started for them."""
    with running_stack() as supervisor:
        stack = supervisor.stack
        mlflow, web = stack.environ["MLFLOW_TRACKING_URI"], stack.urls["web"]
        run_id = log_run(mlflow, EPOCHS)
        os.environ["PUBSUB_EMULATOR_HOST"] = stack.environ["PUBSUB_EMULATOR_HOST"]
        runs = copies_of(mlflow, stack.environ["MLFLOW_BACKEND_STORE_URI"], run_id, PUBLISHED + 1)
        _publish_to_warm([run_id], web)
        waits = _publish_to_warm(runs, web)[1:]
        one_by_one = median_ms(lambda: sequential(mlflow, run_id), TIMES)
        fetcher = Fetcher(TrackingServer("default", mlflow))
        fetch = median_ms(lambda: fetcher.fetch(run_id), TIMES)
        opened = median_ms(lambda: _open(web, run_id), 20)
    p95 = percentile(waits, 0.95)
    return [
        _at_most("open a run's charts: warm, against one call a metric", opened, one_by_one, "≤ 0.1", one_by_one / 10),
        Measure("publish → warm, median, against the fetch alone", statistics.median(waits), "ms", fetch),
        _at_most("publish → warm, p95, against the fetch alone", p95, fetch, "≤ fetch + 120 ms", fetch + 120),
        *burst.measure(),
    ]


def _at_most(name: str, value: float, reference: float, budget: str, most: float) -> Measure:
    return Measure(name, value, "ms", reference, budget, value <= most)


def _publish_to_warm(runs: list[str], web: str) -> list[float]:
    """Milliseconds from before publishing until the webapp has the body, one run after the other."""
    publisher = pubsub_v1.PublisherClient()
    topic = publisher.topic_path("warmboard-local", "warmboard-runs")
    waits = []
    for number, run_id in enumerate(runs):
        if _is_warm(web, run_id):
            raise RuntimeError(f"run {run_id} is warm before it is published")
        data, attributes = _event(run_id, number).encode()
        waits.append(elapsed_ms(partial(_publish, publisher, topic, data, attributes, web, run_id)))
    return waits


def _publish(
    publisher: pubsub_v1.PublisherClient, topic: str, data: bytes, attributes: dict[str, str], web: str, run_id: str
) -> None:
    publisher.publish(topic, data, **attributes).result(timeout=30)
    deadline = time.monotonic() + 60
    while not _is_warm(web, run_id):
        if time.monotonic() > deadline:
            raise TimeoutError(f"run {run_id} did not become warm within a minute")
        time.sleep(POLL_SECONDS)


def _event(run_id: str, number: int) -> RunEvent:
    return RunEvent.completed(
        run_id=run_id,
        tracking_server="default",
        experiment_name="benchmark",
        status=RunStatus.FINISHED,
        end_time=datetime.fromtimestamp(1_700_000_000 + number, UTC),
        epochs=EPOCHS,
    )


def _is_warm(web: str, run_id: str) -> bool:
    return "ETag" in SESSION.get(f"{web}api/runs/{run_id}/training-history/", timeout=10).headers


def _open(web: str, run_id: str) -> None:
    """Read what the run page reads, concurrently like a browser: the history and four histograms, full resolution."""
    root = f"{web}api/runs/{run_id}/"
    histograms = [(type_, tower) for type_ in ("weights", "gradients") for tower in ("query", "candidate")]
    urls = [f"{root}training-history/?resolution=full"]
    urls += [f"{root}histogram-data/?type={type_}&tower={tower}&resolution=full" for type_, tower in histograms]
    with ThreadPoolExecutor(len(urls)) as pool:
        answers = list(pool.map(lambda url: SESSION.get(url, timeout=10).json(), urls))
    if not all(answer["available"] for answer in answers):
        raise RuntimeError(f"run {run_id} is not warm")


SESSION = requests.Session()
