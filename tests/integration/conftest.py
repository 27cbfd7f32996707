"""The whole stack, started like `make up` does, in a temporary folder; and one training run, made by `demo`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from google.cloud import pubsub_v1

from deploy.local.process import Process, signal_group
from deploy.local.stack import Stack
from deploy.local.supervisor import Supervisor
from tests.environment import GIVEN
from tests.waiting import PATIENCE, wait
from warmboard.contract.events import RunEvent, RunStatus

EPOCHS = 3
CLOCKS = {
    "SWEEP_SECONDS": "1", "DISPATCH_SECONDS": "5", "LEASE_SECONDS": "20", "BACKFILL_RUNS_PER_SECOND": "0",
}  # fmt: skip
"""Of the stack: what was queued and lost is queued again within seconds. Leases are longer: a busy machine is slow.
Earlier runs are left alone: those of other tests would be warmed beside what a test looks at.
"""


@dataclass
class Running:
    """A running stack, with helpers for tests."""

    supervisor: Supervisor

    @property
    def stack(self) -> Stack:
        return self.supervisor.stack

    def get(self, path: str) -> dict[str, Any]:
        """The JSON at a path of the webapp. Raises HTTPError."""
        with urllib.request.urlopen(self.stack.urls["web"].rstrip("/") + path, timeout=PATIENCE) as answer:
            document: dict[str, Any] = json.load(answer)
        return document

    def summary(self, run_id: str) -> dict[str, Any]:
        """The webapp's summary of a run; its state is unknown before the run is announced."""
        try:
            return self.get(f"/api/runs/{run_id}/")
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return {"state": "unknown", "events": []}

    def wait_state(self, run_id: str, state: str, *, events: int = 1) -> dict[str, Any]:
        """Wait until the run has this state and (for ``warm``) none of its events is in progress."""

        def reached() -> dict[str, Any] | None:
            summary = self.summary(run_id)
            settled = state != "warm" or all(event["state"] == "done" for event in summary["events"])
            return summary if summary["state"] == state and len(summary["events"]) >= events and settled else None

        found: dict[str, Any] = wait(reached, f"run {run_id} to be {state}", lambda: self.summary(run_id))
        return found

    def publish(self, data: bytes, attributes: dict[str, str]) -> None:
        """Publish one message on the stack's topic."""
        self.publish_all([(data, attributes)])

    def publish_all(self, messages: Iterable[tuple[bytes, dict[str, str]]], topic: str = "warmboard-runs") -> None:
        """Publish all messages at once, through Google's own client."""
        settings = self.stack.environ
        publisher = pubsub_v1.PublisherClient(transport=_insecure_transport(settings["PUBSUB_EMULATOR_HOST"]))
        path = publisher.topic_path("warmboard-local", topic)
        for published in [publisher.publish(path, data, **attributes) for data, attributes in messages]:
            published.result(timeout=PATIENCE)
        publisher.stop()

    def complete(self, run_id: str, **change: Any) -> None:
        """Publish the completed event of a run, as the trainer does."""
        self.publish(*completed(run_id, **change).encode())

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of our programs against the stack, as a person would."""
        return subprocess.run(
            [sys.executable, "-m", *arguments],
            env=self.stack.environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )

    def process(self, name: str) -> Process:
        return self.supervisor.processes[name]

    def freeze(self, name: str) -> None:
        """Suspend the part, with its connections open: a server that no longer answers."""
        signal_group(self.process(name).pid, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        signal_group(self.process(name).pid, signal.SIGCONT)

    def kill(self, name: str) -> None:
        """kill -9 the part and all its children."""
        self.process(name).kill()

    def start(self, name: str) -> None:
        """Restart a part and wait until it is ready."""
        self.process(name).log.write_text("")
        self.supervisor.start(self.process(name).part).wait_ready(PATIENCE)


def completed(run_id: str, **change: Any) -> RunEvent:
    fact: dict[str, Any] = {
        "run_id": run_id,
        "tracking_server": "default",
        "experiment_name": "logged by the stock client",
        "status": RunStatus.FINISHED,
        "end_time": datetime.now(UTC).replace(microsecond=0),
        "epochs": 4,
    }
    return RunEvent.completed(**{**fact, **change})


def _insecure_transport(host: str) -> Any:
    import grpc
    from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

    return PublisherGrpcTransport(channel=grpc.insecure_channel(host))


# Of the package: with the last test here the stack ends, and its sweep no longer runs beside the tests of others.
@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The stack, with every part up."""
    # Each process of MLflow takes seconds to start, and tests end it; more than one are the matter of its own tests.
    given = {**GIVEN, **CLOCKS, "MLFLOW_WORKERS": "1"}
    with Supervisor(Stack(tmp_path_factory.mktemp("stack"), given)) as supervisor:
        yield Running(supervisor)


@pytest.fixture(scope="package")
def trained(running: Running) -> dict[str, Any]:
    """The file that ``demo`` wrote after training against the running stack."""
    done = running.command("deploy.local", f"--data={running.stack.data}", "demo", "--exit", f"--epochs={EPOCHS}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "already up" in done.stderr
    return cast("dict[str, Any]", json.loads((running.stack.data / "demo.json").read_text()))
