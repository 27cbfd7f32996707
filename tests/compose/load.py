"""Many runs at once: logged to MLflow, announced, and how the recorder saw them being read."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

import grpc
from google.cloud import pubsub_v1
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

from chaos.publisher import TOPIC
from chaos.runs import log_runs
from warmboard.contract.events import RunEvent, RunStatus

MLFLOW = "http://127.0.0.1:5000"
PUBSUB = "127.0.0.1:8085"
SERVER = "default"
PUBLISH_SECONDS = 60


@dataclass(frozen=True)
class Reading:
    """One reading of a run's history. Seconds by the recorder's clock; ``broken`` if the reader hung up."""

    run: str
    began: float
    ended: float
    broken: bool
    peer: str


def log(seed: int, count: int) -> list[str]:
    """Log finished runs of various shapes, and return their IDs."""
    return log_runs(MLFLOW, seed, count)


def announce(runs: Iterable[str]) -> None:
    """Publish each run's end, as its trainer does."""
    channel = grpc.insecure_channel(PUBSUB)
    publisher = pubsub_v1.PublisherClient(transport=PublisherGrpcTransport(channel=channel))
    end = datetime.now(UTC).replace(microsecond=0)
    events = [
        RunEvent.completed(
            run_id=run_id, tracking_server=SERVER, experiment_name="load", status=RunStatus.FINISHED, end_time=end,
            epochs=1,
        )
        for run_id in runs
    ]  # fmt: skip
    sent = [publisher.publish(TOPIC, data, **attributes) for data, attributes in (event.encode() for event in events)]
    for future in sent:
        future.result(PUBLISH_SECONDS)
    channel.close()


def readings(output: str) -> list[Reading]:
    """What the recorder printed: every reading that has ended."""
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return [Reading(**line) for line in lines if "ended" in line]


def in_progress(output: str) -> set[str]:
    """The runs that are being read now."""
    open_now: dict[str, int] = defaultdict(int)
    for line in map(json.loads, (line for line in output.splitlines() if line.startswith("{"))):
        open_now[line["run"]] += -1 if "ended" in line else 1
    return {run for run, count in open_now.items() if count > 0}


def twice_at_a_time(found: Sequence[Reading]) -> Iterator[tuple[Reading, Reading]]:
    """Pairs of readings of one run of which the second began before the first had ended."""
    by_run: dict[str, list[Reading]] = defaultdict(list)
    for reading in sorted(found, key=lambda reading: reading.began):
        by_run[reading.run].append(reading)
    for ordered in by_run.values():
        latest = ordered[0]
        for first, second in pairwise(ordered):
            latest = max(latest, first, key=lambda reading: reading.ended)
            if second.began < latest.ended:
                yield latest, second
