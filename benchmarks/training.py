"""The cost of tracking, compared with other ways to log and with no tracking: ``make bench-trainer``."""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import grpc
import numpy as np
import requests
from google.cloud import pubsub_v1
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

from benchmarks import overhead
from benchmarks.children import BAD, SECONDS, address_of, child
from benchmarks.counted import counting
from benchmarks.report import Measure, elapsed_ms, percentile, say
from benchmarks.runs import epoch_keys
from benchmarks.servers import our_server
from deploy.local.process import Part, Process, answers_tcp, free_port
from warmboard import TrackingClient
from warmboard.contract.settings import GOOGLE_CLOUD_PROJECT, PUBSUB_TOPIC
from warmboard.tracking import Metric

BATCHES, EACH_VALUE = 15, 5
"""The number of epochs logged at once, and value by value."""
CALLS = 500
FASTER = 35
KIB = 1024


def measure() -> list[Measure]:
    """All measures, on a server started for them."""
    with our_server() as server, _pubsub() as pubsub:
        say("one epoch, logged in every way")
        measures = list(_epochs(server))
        measures += overhead.measure(server, pubsub)
        say("loops without a framework")
        measures += _loops(server, pubsub)
    return measures


def _epochs(server: str) -> Iterator[Measure]:
    """One epoch of 127 values: at once, and with a call for each value, on one run each."""
    client = TrackingClient(server)
    experiment = client.experiment("one epoch")
    runs = [
        client.create_run(experiment, way, datetime.now(UTC)) for way in ("at once", "value by value", "kept alive")
    ]
    took: list[list[float]] = [[], [], []]
    sent: list[list[tuple[int, int]]] = [[], [], []]
    with requests.Session() as session:
        ways: list[Callable[[str, list[Metric]], object]] = [
            client.log_batch,
            partial(_value_by_value, server, requests.post),
            partial(_value_by_value, server, session.post),
        ]
        for step in range(BATCHES + 1):
            for number, way in enumerate(ways):
                if number and step > EACH_VALUE:
                    continue
                with counting() as counted:
                    took[number].append(elapsed_ms(partial(way, runs[number], _metrics(step))))
                sent[number].append((counted.calls, counted.bytes))
    # The first of each does not count.
    at_once, new, kept = (statistics.median(times[1:]) for times in took)
    (calls, size), (others, others_size), _ = (each[-1] for each in sent)
    name = "one epoch of 127 values: log-batch / a call a value"
    yield Measure(f"{name}, new connections", at_once, "ms", new, f"≤ 1/{FASTER}", at_once * FASTER <= new)
    yield Measure(f"{name}, kept alive", at_once, "ms", kept)
    yield Measure("HTTP calls for it / a call a value", calls, "", others, "1", calls == 1)
    yield Measure("request bytes for it / a call a value", size / KIB, "KiB", others_size / KIB)


def _metrics(step: int) -> list[Metric]:
    now = time.time_ns() // 1_000_000
    values = np.random.default_rng(step).normal(size=len(epoch_keys())).tolist()
    return [Metric(key, value, step, now) for key, value in zip(epoch_keys(), values, strict=True)]


def _value_by_value(server: str, post: Callable[..., requests.Response], run_id: str, metrics: list[Metric]) -> None:
    for metric in metrics:
        body = {"run_id": run_id, **metric.encode()}
        post(f"{server}/api/2.0/mlflow/runs/log-metric", json=body, timeout=SECONDS).raise_for_status()


def _loops(server: str, pubsub: str) -> Iterator[Measure]:
    names = {"healthy": "healthy server", **BAD}
    for health, what in names.items():
        with address_of(server, health) as address:
            told = child("benchmarks.loops", [str(CALLS)], address, pubsub)
        yield Measure(f"log_metrics of 127 values, {what}: median", statistics.median(told["micro"]), "µs")
        yield Measure(f"log_metrics of 127 values, {what}: p99", percentile(told["micro"], 0.99), "µs")
        yield Measure(f"peak memory that {CALLS} epochs add, {what}", told["logged"], "MiB")
        if health == "healthy":
            yield Measure("peak memory that beginning a run adds (its libraries)", told["begun"], "MiB")


@contextmanager
def _pubsub() -> Iterator[str]:
    """HOST:PORT of the embedded Pub/Sub, with the trainer's topic."""
    with tempfile.TemporaryDirectory(prefix="warmboard-bench-") as folder:
        port = free_port()
        command = [sys.executable, "-m", "deploy.local.pubsub", f"--port={port}", f"--data={folder}/pubsub.sqlite3"]
        process = Process(Part("pubsub", command, answers_tcp(port)), os.environ, Path(folder) / "pubsub.log")
        try:
            process.wait_ready(SECONDS)
            address = f"127.0.0.1:{port}"
            transport = PublisherGrpcTransport(channel=grpc.insecure_channel(address))
            with pubsub_v1.PublisherClient(transport=transport) as publisher:
                publisher.create_topic(name=publisher.topic_path(GOOGLE_CLOUD_PROJECT.read({}), PUBSUB_TOPIC.read({})))
            yield address
        finally:
            process.stop()
