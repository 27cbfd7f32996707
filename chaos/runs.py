"""The runs of a storm, logged with MLflow's own client before it begins, and the messages about them."""

from __future__ import annotations

import json
import math
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from warmboard.contract.events import RunEvent, RunStatus

EXPERIMENT = "chaos"
MARK = "chaos-id"
"""An attribute by which a malformed message is found in the inbox."""
HUGE = 9 * 10**6
"""Bytes; Pub/Sub's max is 10 MB."""
POINTS = 900


@dataclass(frozen=True)
class Message:
    """A message, and when it is published: seconds from the start of the storm."""

    at: float
    data: bytes
    attributes: dict[str, str]


@dataclass
class Script:
    """All messages of a storm, and what must become of them."""

    messages: list[Message] = field(default_factory=list)
    warm: list[str] = field(default_factory=list)
    """The IDs of runs that must become warm."""
    parked: list[str] = field(default_factory=list)
    """The IDs of runs whose events must be parked as failed: their server is unknown, or MLflow lacks them."""
    malformed: list[str] = field(default_factory=list)
    """The marks of messages that must be kept as unreadable."""
    events: set[tuple[str, str]] = field(default_factory=set)
    """(source, ID) of every event."""

    def add(self, at: float, event: RunEvent) -> None:
        self.events.add((event.source, event.id))
        self.messages.append(Message(max(0.0, at), *event.encode()))

    def add_malformed(self, at: float, data: bytes, attributes: dict[str, str]) -> None:
        mark = str(len(self.malformed))
        self.malformed.append(mark)
        self.messages.append(Message(at, data, {**attributes, MARK: mark}))


def log_runs(tracking_uri: str, seed: int, count: int) -> list[str]:
    """Log finished runs of various shapes, each by one batch; returns their IDs."""
    # Its client prints two lines for each run that ends.
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    chance, client = random.Random(seed), MlflowClient(tracking_uri)
    experiment = client.create_experiment(f"{EXPERIMENT} {seed}")
    return [_log_run(client, experiment, chance) for _ in range(count)]


def script(seed: int, runs: list[str], seconds: float, server: str) -> Script:
    """Each run's completed event, once or more; live events of some; and per ten runs a malformed message of each kind,
    an event of an unknown server, and one of a run that MLflow lacks. In random order, the last at ``seconds``.
    """
    chance, now = random.Random(seed), datetime.now(UTC).replace(microsecond=0)
    written = Script(warm=list(runs))
    for number, run_id in enumerate(runs):
        at = chance.uniform(0, seconds)
        # One in twenty comes from a clock that is far ahead.
        end = now.replace(year=2999) if number % 20 == 7 else now + timedelta(seconds=number)
        completed = RunEvent.completed(
            run_id=run_id,
            tracking_server=server,
            experiment_name=EXPERIMENT,
            status=RunStatus.FINISHED,
            end_time=end,
            epochs=1,
        )
        for _ in range(chance.choice((1, 1, 2, 3))):
            written.add(min(seconds, at + chance.uniform(0, 3)), completed)
        if chance.random() < 1 / 3:
            for event in _live(run_id, server, now):
                written.add(min(seconds, at + chance.uniform(-5, 5)), event)
        if number % 10 == 3:
            _add_bad(written, chance, seconds, replace(completed, end_time=now))
    chance.shuffle(written.messages)
    written.messages.sort(key=lambda message: message.at)
    return written


def _log_run(client: MlflowClient, experiment: str, chance: random.Random) -> str:
    run_id = str(client.create_run(experiment, run_name=f"run {chance.random():.6f}").info.run_id)
    keys = ["loss", "val_loss", *(f"metric.{number}" for number in range(chance.randint(0, 20)))]
    begin, steps = 1_700_000_000_000, POINTS // len(keys)
    odd = [math.nan, math.inf, 0.0]
    metrics = [
        Metric(key, chance.choice(odd) if chance.random() < 0.01 else chance.gauss(0, 1), begin + 1000 * step, step)
        for key in keys
        for step in range(steps)
    ]
    client.log_batch(run_id, metrics=metrics, params=[Param("lr", str(chance.random()))])
    client.set_terminated(run_id)
    return run_id


def _live(run_id: str, server: str, now: datetime) -> Iterator[RunEvent]:
    yield RunEvent.started(run_id=run_id, tracking_server=server, experiment_name=EXPERIMENT, time=now)
    yield RunEvent.progressed(
        run_id=run_id, tracking_server=server, experiment_name=EXPERIMENT, time=now + timedelta(seconds=1), epochs=3
    )


def _add_bad(written: Script, chance: random.Random, seconds: float, like: RunEvent) -> None:
    data, attributes = like.encode()
    fields = json.loads(data)
    malformed = [
        (chance.randbytes(200), {"ce-type": "nonsense"}),
        (data[: len(data) // 2], attributes),
        (b"[" * 100_000, attributes),
        (json.dumps({**fields, "run_id": "a b"}).encode(), attributes),
        (json.dumps({**fields, "experiment_name": "\ud800"}).encode(), attributes),
        (b"x" * HUGE if not written.parked else b"", attributes),
    ]
    for body, of in malformed:
        written.add_malformed(chance.uniform(0, seconds), body, of)
    for server in ("nowhere", like.tracking_server):
        run_id = f"{chance.getrandbits(128):032x}"
        written.parked.append(run_id)
        written.add(
            chance.uniform(0, seconds),
            replace(like, run_id=run_id, tracking_server=server, id=f"{run_id}.completed.0"),
        )
