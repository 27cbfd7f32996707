"""From published to opened: what a viewer waits for with Warmboard, beside what opening a run costs without it."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import requests
from google.cloud import pubsub_v1

from benchmarks.report import Measure, elapsed_ms, median_ms, percentile
from benchmarks.runs import FINAL, epoch_keys, log_run
from contract import settings as setting
from contract.entries import EntryKey, Resolution
from contract.events import RunEvent, RunStatus
from deploy.local.stack import Stack
from deploy.local.supervisor import Supervisor
from workers.documents import RunDocuments, Sampling
from workers.fetch import Curve, FetchedRun, Fetcher

EPOCHS = 100
TIMES = 5
PUBLISHED = 20
OVERVIEW_LENGTHS = (100, 1_000, 100_000)
KIB = 1024
POLL_SECONDS = 0.02
"""Often enough to see when, seldom enough not to take the cores from what is measured."""


def measure() -> list[Measure]:
    """Every measure, on a stack started for it."""
    with _stack() as stack:
        mlflow, web = stack.environ["MLFLOW_TRACKING_URI"], stack.urls["web"]
        run_id = log_run(mlflow, EPOCHS)
        os.environ["PUBSUB_EMULATOR_HOST"] = stack.environ["PUBSUB_EMULATOR_HOST"]
        waits = _publish_to_warm(run_id, web)
        sequential = median_ms(lambda: _sequential(mlflow, run_id), TIMES)
        fetcher = Fetcher(mlflow)
        fetch = median_ms(lambda: fetcher.fetch(run_id), TIMES)
        opened = median_ms(lambda: _open(web, run_id), 20)
    p95 = percentile(waits, 0.95)
    return [
        _at_most("open a run's charts: warm, against one call a metric", opened, sequential, "≤ 0.1", sequential / 10),
        _at_most(
            "fetch a run, stock MLflow, against one call after another", fetch, sequential, "≤ 0.5", sequential / 2
        ),
        Measure("publish → warm, median, against the fetch alone", statistics.median(waits), "ms", fetch),
        _at_most("publish → warm, p95, against the fetch alone", p95, fetch, "≤ fetch + 150 ms", fetch + 150),
        *_overviews(),
    ]


def _at_most(name: str, value: float, reference: float, budget: str, most: float) -> Measure:
    return Measure(name, value, "ms", reference, budget, value <= most)


@contextmanager
def _stack() -> Iterator[Stack]:
    given = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    with tempfile.TemporaryDirectory(prefix="warmboard-bench-") as folder:
        stack = Stack(Path(folder), given)
        with Supervisor(stack):
            yield stack


def _publish_to_warm(run_id: str, web: str) -> list[float]:
    """Milliseconds from before the publishing until the webapp has the new body, one event at a time."""
    publisher = pubsub_v1.PublisherClient()
    topic = publisher.topic_path("warmboard-local", "warmboard-runs")
    waits = []
    for number in range(PUBLISHED + 1):
        before = _etag(web, run_id)
        data, attributes = _event(run_id, number).encode()
        waits.append(elapsed_ms(partial(_publish, publisher, topic, data, attributes, web, run_id, before)))
    return waits[1:]


def _publish(
    publisher: pubsub_v1.PublisherClient,
    topic: str,
    data: bytes,
    attributes: dict[str, str],
    web: str,
    run_id: str,
    before: str | None,
) -> None:
    publisher.publish(topic, data, **attributes).result(timeout=30)
    deadline = time.monotonic() + 60
    while _etag(web, run_id) == before:
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


def _etag(web: str, run_id: str) -> str | None:
    return SESSION.get(f"{web}api/runs/{run_id}/training-history/", timeout=10).headers.get("ETag")


def _sequential(mlflow: str, run_id: str) -> None:
    """Today's way: one request for the run, then one for each metric, each on a connection of its own."""
    api = f"{mlflow}/api/2.0/mlflow/"
    requests.get(api + "runs/get", params={"run_id": run_id}, timeout=60).raise_for_status()
    for key in [*epoch_keys(), *FINAL]:
        query = {"run_id": run_id, "metric_key": key}
        requests.get(api + "metrics/get-history", params=query, timeout=60).raise_for_status()


def _open(web: str, run_id: str) -> None:
    """What the run page reads: the history and four histograms, at full resolution, side by side as a browser does."""
    root = f"{web}api/runs/{run_id}/"
    histograms = [(type_, tower) for type_ in ("weights", "gradients") for tower in ("query", "candidate")]
    urls = [f"{root}training-history/?resolution=full"]
    urls += [f"{root}histogram-data/?type={type_}&tower={tower}&resolution=full" for type_, tower in histograms]
    with ThreadPoolExecutor(len(urls)) as pool:
        answers = list(pool.map(lambda url: SESSION.get(url, timeout=10).json(), urls))
    if not all(answer["available"] for answer in answers):
        raise RuntimeError(f"run {run_id} is not warm")


def _overviews() -> list[Measure]:
    measures = []
    for epochs in OVERVIEW_LENGTHS:
        size = len(_overview(epochs)) / KIB
        measures.append(Measure(f"overview of {epochs:,} epochs, compressed", size, "KiB", 64, "≤ 64 KiB", size <= 64))
    return measures


def _overview(epochs: int) -> bytes:
    """The overview of a run of random values: nothing compresses worse."""
    random, steps = np.random.default_rng(1), np.arange(epochs)
    curves = {key: Curve(steps, random.normal(size=epochs)) for key in epoch_keys()}
    run = FetchedRun("r" * 32, "benchmark", "benchmark", "FINISHED", None, None, {}, curves)
    documents = RunDocuments(
        run,
        Sampling(setting.EPOCH_SAMPLE_INTERVAL.read({}), setting.OVERVIEW_POINTS.read({})),
        datetime(2026, 1, 1, tzinfo=UTC),
    )
    return documents.entries()[EntryKey.history(run.run_id, Resolution.OVERVIEW)].body


SESSION = requests.Session()
