"""Programs that are killed and servers that fail: real processes, a real MLflow server."""

from __future__ import annotations

import itertools
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.environment import GIVEN
from tests.paths import ROOT
from tests.waiting import PATIENCE
from tests.warmboard.mlflow_server import MlflowServer
from tests.warmboard.servers import FakePubsub
from warmboard.contract.events import EventType, RunEvent, RunStatus
from warmboard.contract.info import RunInfo

pytestmark = pytest.mark.integration
KEYS = 20
LOOP = f"""
import sys, time
from warmboard import start_run

epochs, pause = int(sys.argv[1]), float(sys.argv[2])
with start_run(quick_test_id=7) as run:
    print("began", flush=True)
    for epoch in range(epochs):
        run.log_metrics({{f"m{{i}}": epoch + i / 100 for i in range({KEYS})}}, step=epoch)
        print(f"epoch {{epoch}}", flush=True)
        time.sleep(pause)
print("left", run.sent, run.waiting, run.waiting_at, flush=True)
"""
FIT = """
import sys
import keras, numpy as np
from warmboard.keras import WarmboardCallback

keras.utils.set_random_seed(1)
model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="query_tower")])
model.compile(optimizer="sgd", loss="mse")

class Fails(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        print(f"epoch {epoch}", flush=True)
        if sys.argv[1] == "fails" and epoch == 2:
            raise ValueError("no luck")
        if sys.argv[1] == "waits" and epoch == 2:
            import time
            time.sleep(60)

tracked = WarmboardCallback(experiment="adopted")
fits = 2 if sys.argv[1] == "twice" else 1
for _ in range(fits):
    model.fit(np.ones((8, 2)), np.ones((8, 1)), epochs=3, verbose=0, callbacks=[tracked, Fails()])
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    mlflow = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    yield mlflow
    mlflow.stop()


@dataclass
class Place:
    """A folder, and the training programs that run in it."""

    folder: Path
    server: MlflowServer
    pubsub: FakePubsub

    @property
    def environ(self) -> dict[str, str]:
        return {
            **GIVEN,
            "PYTHONPATH": str(ROOT),
            "TF_CPP_MIN_LOG_LEVEL": "2",
            "MLFLOW_TRACKING_URI": self.server.uri,
            "MLFLOW_READY_SECONDS": "0",
            "PUBSUB_EMULATOR_HOST": self.pubsub.address,
            "OUTPUT_URI": str(self.folder / "output"),
            "SPOOL_DIR": str(self.folder / "spool"),
        }

    def start(self, code: str, *arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            cwd=self.folder, env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def flush(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "warmboard", "flush", *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=self.environ, capture_output=True, text=True, check=False, timeout=PATIENCE
        )

    def events(self, type_: EventType) -> list[RunEvent]:
        every = [RunEvent.decode(message.data, message.attributes) for message in self.pubsub.messages]
        return [event for event in every if event.type is type_]

    def info(self) -> RunInfo:
        (path,) = (self.folder / "output").glob("*/mlflow_info.json")
        return RunInfo.decode(path.read_bytes())

    @property
    def spooled(self) -> list[Path]:
        return list((self.folder / "spool").glob("*.ndjson"))

    def runs(self, experiment: str = "two-tower") -> list[Run]:
        client = MlflowClient(self.server.uri)
        found = client.get_experiment_by_name(experiment)
        return list(client.search_runs([found.experiment_id])) if found else []

    def assert_whole(self, run_id: str, epochs: int) -> None:
        """Assert that every value of the loop is in MLflow, once."""
        client = MlflowClient(self.server.uri)
        for index in range(KEYS):
            points = client.get_metric_history(run_id, f"m{index}")
            assert [(point.step, point.value) for point in sorted(points, key=lambda point: point.step)] == [
                (epoch, epoch + index / 100) for epoch in range(epochs)
            ], index


@pytest.fixture
def place(tmp_path: Path, server: MlflowServer, pubsub: FakePubsub) -> Place:
    return Place(tmp_path, server, pubsub)


@pytest.fixture
def up(place: Place) -> Place:
    if place.server.is_down:
        place.server.start()
    return place


def read_until(program: subprocess.Popen[str], line: str) -> None:
    assert program.stdout is not None
    for said in program.stdout:
        if said.strip() == line:
            return
    _, errors = program.communicate(timeout=PATIENCE)
    pytest.fail(f"it ended before it said {line!r}:\n{errors}")


def ended(program: subprocess.Popen[str], status: int) -> tuple[str, str]:
    out, errors = program.communicate(timeout=PATIENCE)
    assert program.returncode == status, errors
    return out, errors


def wait(reached: Callable[[], object], what: str) -> None:
    begin = time.monotonic()
    while not reached():
        assert time.monotonic() - begin < PATIENCE, f"waited in vain for {what}"
        time.sleep(0.05)


def test_a_restarted_server_gets_every_value(up: Place) -> None:
    program = up.start(LOOP, 40, 0.1)
    read_until(program, "epoch 5")
    up.server.kill()
    read_until(program, "epoch 15")
    up.server.start()
    out, _ = ended(program, 0)
    assert re.search(rf"left {40 * KEYS} 0 None", out)
    (event,) = up.events(EventType.COMPLETED)
    assert (event.status, event.epochs) == (RunStatus.FINISHED, 40)
    up.assert_whole(event.run_id, 40)
    assert up.spooled == []


def test_without_a_restart_flush_sends_the_rest(up: Place) -> None:
    program = up.start(LOOP, 12, 0.1)
    read_until(program, "epoch 3")
    up.server.kill()
    # Terminated once everything is logged: a minute is too long to wait for a server that is down.
    read_until(program, "epoch 11")
    program.send_signal(signal.SIGTERM)
    _, errors = ended(program, 143)
    (spool,) = up.spooled
    assert re.search(rf"[\d,]+ values wait in {re.escape(str(spool))}.*warmboard flush", errors)
    (run_id,) = {event.run_id for event in up.events(EventType.STARTED)}
    assert up.info().unsent > 0

    away = up.flush()
    assert away.returncode == 1, away.stderr
    assert up.spooled == [spool]
    up.server.start()
    first = up.flush()
    assert first.returncode == 0, first.stdout + first.stderr
    up.assert_whole(run_id, 12)
    run = MlflowClient(up.server.uri).get_run(run_id)
    assert run.info.status == "KILLED"
    completed = up.events(EventType.COMPLETED)
    assert len({event.id for event in completed}) == 2
    assert {(event.run_id, event.end_time) for event in completed} == {(run_id, up.info().end_time)}
    assert up.info().unsent == 0
    assert up.spooled == []

    second = up.flush()
    assert (second.returncode, len(up.events(EventType.COMPLETED))) == (0, 2)
    up.assert_whole(run_id, 12)


def test_a_server_that_is_down_at_the_start_gets_the_run_later(up: Place) -> None:
    up.server.kill()
    program = up.start(LOOP, 200, 0.1)
    read_until(program, "epoch 3")
    assert up.events(EventType.STARTED) == []
    up.server.start()
    wait(lambda: up.events(EventType.PROGRESSED), "the run to be announced")
    program.send_signal(signal.SIGTERM)
    ended(program, 143)
    (started,) = up.events(EventType.STARTED)
    (event,) = up.events(EventType.COMPLETED)
    assert started.run_id == event.run_id
    assert event.epochs is not None
    up.assert_whole(event.run_id, event.epochs)


def test_flush_creates_a_run_that_mlflow_never_had(up: Place) -> None:
    up.server.kill()
    program = up.start(LOOP, 3, 0)
    read_until(program, "epoch 2")
    program.send_signal(signal.SIGTERM)
    ended(program, 143)
    up.server.start()
    known = {run.info.run_id for run in up.runs()}
    for _ in range(2):
        assert up.flush().returncode == 0
    (event,) = up.events(EventType.COMPLETED)
    assert {run.info.run_id for run in up.runs()} - known == {event.run_id}
    up.assert_whole(event.run_id, 3)
    assert up.info().run_id == event.run_id


def test_kill_9_leaves_the_files_that_sweep_and_flush_need(up: Place) -> None:
    program = up.start(LOOP, 100, 0.05)
    read_until(program, "epoch 5")
    wait(lambda: list((up.folder / "output").glob("*/mlflow_info.json")), "mlflow_info.json")
    # No longer only in memory: on disk, or sent.
    client, info = MlflowClient(up.server.uri), up.info()
    wait(
        lambda: '"step":5,' in up.spooled[0].read_text() or len(client.get_metric_history(info.run_id, "m0")) > 5,
        "epoch 5",
    )
    program.kill()
    program.communicate()
    assert up.info().status is RunStatus.RUNNING
    assert client.get_run(info.run_id).info.status == "RUNNING"
    assert up.flush().returncode == 0
    assert client.get_run(info.run_id).info.status == "FAILED"
    (event,) = up.events(EventType.COMPLETED)
    assert (event.run_id, event.status) == (info.run_id, RunStatus.FAILED)
    assert event.epochs is not None
    assert event.epochs >= 6
    up.assert_whole(info.run_id, event.epochs)


def test_progress_is_published_once_mlflow_has_it(up: Place) -> None:
    program = up.start(LOOP, 60, 0.1)
    wait(lambda: len(up.events(EventType.PROGRESSED)) >= 2, "two progressed events")
    latest = up.events(EventType.PROGRESSED)[-1]
    assert latest.epochs is not None
    points = MlflowClient(up.server.uri).get_metric_history(latest.run_id, "m0")
    assert len(points) >= latest.epochs
    ended(program, 0)
    times = [event.time for event in up.events(EventType.PROGRESSED)]
    assert all((later - earlier).total_seconds() > 1.5 for earlier, later in itertools.pairwise(times))


def test_one_line_is_a_whole_run(up: Place) -> None:
    ended(up.start(FIT, "twice"), 0)
    statuses = [(event.status, event.epochs) for event in up.events(EventType.COMPLETED)]
    assert statuses == [(RunStatus.FINISHED, 3)] * 2
    assert len({event.run_id for event in up.events(EventType.COMPLETED)}) == 2


def test_one_line_and_a_training_that_fails(up: Place) -> None:
    _, errors = ended(up.start(FIT, "fails"), 1)
    assert "ValueError: no luck" in errors
    (event,) = up.events(EventType.COMPLETED)
    assert (event.status, event.epochs) == (RunStatus.FAILED, 2)
    assert MlflowClient(up.server.uri).get_run(event.run_id).info.status == "FAILED"


def test_one_line_and_a_training_that_is_terminated(up: Place) -> None:
    program = up.start(FIT, "waits")
    read_until(program, "epoch 2")
    program.send_signal(signal.SIGTERM)
    ended(program, 143)
    (event,) = up.events(EventType.COMPLETED)
    assert event.status is RunStatus.KILLED
    assert json.loads(up.pubsub.messages[-1].data)["status"] == "KILLED"
