"""Runs that no event announced become warm by themselves; and all MLflow servers answer alike."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from mlflow import MlflowClient

from deploy.local.process import Part, Process, free_port, has_said
from tests.integration.conftest import Running
from tests.mlflow_server.servers import Server
from tests.paths import EXAMPLES
from tests.waiting import PATIENCE, wait
from warmboard.contract.events import RunStatus
from warmboard.contract.info import FILE_NAME, RunInfo
from workers.discover.mlflow import MlflowLook
from workers.fetch.server import TrackingServer

pytestmark = pytest.mark.integration
GOLDEN = EXAMPLES / "mlflow-info-v1.json"
EXPERIMENT = "never announced"
KILLED_TRAINING = """
import os, signal, time
from warmboard import start_run

with start_run(quick_test_id=4711, experiment="never announced") as run:
    for epoch in range(3):
        run.log_metrics({"loss": 1 / (epoch + 1)}, step=epoch)
    while run.waiting or not run.run_id:
        time.sleep(0.1)
    print(run.run_id, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def ago(seconds: float) -> int:
    """Milliseconds since 1970."""
    return int((time.time() - seconds) * 1000)


@pytest.fixture(scope="module")
def client(running: Running) -> MlflowClient:
    return MlflowClient(running.stack.environ["MLFLOW_TRACKING_URI"])


@pytest.fixture(scope="module")
def experiment_id(client: MlflowClient) -> str:
    found: str = client.create_experiment(EXPERIMENT)
    return found


@pytest.fixture(scope="module")
def eager_beat(running: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The log of one more beat, which looks every second."""
    folder = tmp_path_factory.mktemp("beat")
    log = folder / "beat.log"
    command = [sys.executable, "-m", "workers", "beat", f"--schedule={folder / 'schedule'}"]
    part = Part("beat", command, has_said(log, "beat: Starting"))
    given = {"DISCOVER_SECONDS": "1", "BEAT_HEARTBEAT": str(folder / "heartbeat")}
    process = Process(part, {**running.stack.environ, **given}, log)
    try:
        process.wait_ready(PATIENCE)
        yield log
    finally:
        process.stop()


@pytest.fixture(scope="module")
def killed(running: Running, eager_beat: Path) -> str:
    """A run whose trainer was killed while its Pub/Sub was down."""
    environ = {**running.stack.environ, "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{free_port()}"}
    command = [sys.executable, "-c", KILLED_TRAINING]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == -9, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def told_by_a_file(running: Running, client: MlflowClient, experiment_id: str, eager_beat: Path) -> str:
    """A run that MLflow takes for one in progress, without a time; only its trainer's file says that it has ended."""
    run_id: str = client.create_run(experiment_id, start_time=0).info.run_id
    client.log_metric(run_id, "loss", 0.5, step=0)
    info = RunInfo(
        run_id=run_id,
        run_name="killed",
        tracking_uri="http://never.called.invalid",
        tracking_server="default",
        experiment_id=experiment_id,
        experiment_name=EXPERIMENT,
        status=RunStatus.KILLED,
        end_time=datetime.now(UTC),
        epochs=1,
    )
    upload = f"{running.stack.environ['STORAGE_EMULATOR_HOST']}/upload/storage/v1/b/warmboard/o"
    parameters = {"uploadType": "media", "name": f"runs/{run_id}/mlflow_info.json"}
    requests.post(upload, params=parameters, data=info.encode(), timeout=PATIENCE).raise_for_status()
    return run_id


def test_a_run_of_any_client(running: Running, client: MlflowClient, experiment_id: str, eager_beat: Path) -> None:
    run_id = client.create_run(experiment_id).info.run_id
    for epoch in range(4):
        client.log_metric(run_id, "loss", 1 / (epoch + 1), step=epoch)
    client.set_terminated(run_id, end_time=ago(60))
    summary = running.wait_state(run_id, "warm")
    assert [event["state"] for event in summary["events"]] == ["done"]
    history = running.get(f"/api/runs/{run_id}/training-history/?resolution=full")
    assert (history["status"], history["loss"]["train"]) == ("FINISHED", [1, 1 / 2, 1 / 3, 1 / 4])


def test_what_changes_after_the_end(
    running: Running, client: MlflowClient, experiment_id: str, eager_beat: Path
) -> None:
    run_id = client.create_run(experiment_id, run_name="untitled").info.run_id
    client.log_metric(run_id, "loss", 0.5, step=0)
    client.set_terminated(run_id, end_time=ago(60))
    running.wait_state(run_id, "warm")

    def until(what: str, reached: Callable[[dict[str, Any]], bool]) -> None:
        wait(lambda: reached(running.summary(run_id)), what, lambda: running.summary(run_id))

    client.log_metric(run_id, "holdout_accuracy", 0.875)
    client.update_run(run_id, name="the good one")
    until("its name and its late metric", lambda run: is_evaluated(run))
    client.delete_run(run_id)
    until("its deletion", lambda run: run["deleted_at"] is not None)
    assert run_id not in listed(running, "")
    assert run_id in listed(running, "?q=is:deleted")
    client.restore_run(run_id)
    until("its restoration", lambda run: run["deleted_at"] is None)
    assert run_id in listed(running, "")
    client.update_run(run_id, status="RUNNING")
    until("it to be in progress again", lambda run: (run["status"], run["end_time"]) == ("RUNNING", None))
    running.wait_state(run_id, "warm")
    history = running.get(f"/api/runs/{run_id}/training-history/?resolution=full")
    assert (history["status"], history["end_time"]) == ("RUNNING", None), "MLflow keeps the old end"


def is_evaluated(run: dict[str, Any]) -> bool:
    return (run["name"], run["final_metrics"].get("holdout_accuracy")) == ("the good one", 0.875)


def listed(running: Running, query: str) -> list[str]:
    return [run["mlflow_run_id"] for run in running.get(f"/api/runs/{query}")["runs"]]


def test_a_run_whose_trainer_was_killed(running: Running, told_by_a_file: str, killed: str) -> None:
    summary = running.wait_state(killed, "warm")
    assert summary["status"] == "RUNNING", "no event said that it has ended"
    history = running.get("/api/quick-tests/4711/training-history/?resolution=full")
    assert (history["mlflow_run_id"], history["loss"]["train"]) == (killed, [1, 1 / 2, 1 / 3])


def test_a_run_with_a_file_in_the_bucket(running: Running, told_by_a_file: str) -> None:
    running.wait_state(told_by_a_file, "warm")
    # The run that MLflow lists may be found and warmed before its file.
    wait(lambda: running.summary(told_by_a_file)["status"] == "KILLED", "the file to be found")


def by_hand(running: Running, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "workers", "discover", *arguments],
        env={**running.stack.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def test_by_hand(running: Running, client: MlflowClient, experiment_id: str, tmp_path: Path) -> None:
    just_ended = client.create_run(experiment_id).info.run_id
    client.set_terminated(just_ended)
    file = tmp_path / "run" / FILE_NAME
    file.parent.mkdir()
    file.write_bytes(GOLDEN.read_bytes())
    os.utime(file, (time.time() - 60,) * 2)
    done = by_hand(running, "--dry-run", OUTPUT_URI=str(tmp_path))
    assert done.returncode == 0, done.stderr
    run_id = RunInfo.decode(file.read_bytes()).run_id
    assert f"run {run_id} (FINISHED, two-tower) has ended, but no event announced it" in done.stdout
    assert just_ended not in done.stdout, "its trainer may still tell"
    assert running.summary(run_id)["state"] == "unknown"


def test_by_hand_names_what_is_down(running: Running) -> None:
    done = by_hand(running, MLFLOW_TRACKING_URI=f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert done.stdout.strip().endswith("; down: MLflow 'default'")


@pytest.fixture(scope="module")
def stock(running: Running) -> str:
    return running.stack.environ["MLFLOW_TRACKING_URI"]


@pytest.fixture(scope="module")
def old(old_mlflow: Server) -> str:
    """MLflow 2.9.2."""
    return old_mlflow.address


@pytest.fixture(scope="module")
def other(fasttrackml: Server) -> str:
    """FastTrackML."""
    return fasttrackml.address


@pytest.mark.parametrize("which", ["stock", "old", "other"])
def test_what_a_server_lists(which: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.discover.mlflow.PAGE", 2)
    address = request.getfixturevalue(which)
    client = MlflowClient(address)
    experiments = [client.create_experiment(f"listed {number}") for number in range(3)]

    newest = ago(50)

    def run(number: int, *, status: str = "", **times: float) -> str:
        begin = times.get("begin", 3_000)
        run_id: str = client.create_run(experiments[number], start_time=ago(begin)).info.run_id
        client.log_metric(run_id, "loss", float("nan"), timestamp=newest, step=1)
        if status:
            client.set_terminated(run_id, status, end_time=ago(times["end"]))
        return run_id

    ended = [run(number % 2, status="FAILED", end=1_000 - 100 * number) for number in range(5)]
    ahead = run(0, status="FINISHED", end=-600)
    deleted = [run(number, status="FINISHED", end=1_000) for number in (0, 2)]
    long_ago = run(0, status="FINISHED", begin=9 * 86_400, end=8 * 86_400)
    run(0, begin=8 * 86_400)
    client.delete_run(deleted[0])
    client.delete_experiment(experiments[2])
    going_on, going_ahead = run(1), run(1, begin=-600)

    facts = [fact for page in MlflowLook(TrackingServer("s", address), 7).look(datetime.now(UTC)) for fact in page]
    listed = [fact for fact in facts if fact.event and fact.event.experiment_name.startswith("listed")]
    assert {fact.event.run_id for fact in listed if fact.event and fact.deleted} == set(deleted)
    ours = [fact.event for fact in listed if fact.event and not fact.digest]
    found: list[Any] = [(event.run_id, event.status) for event in ours]
    assert found == [
        (ahead, RunStatus.FINISHED),
        *((run_id, RunStatus.FAILED) for run_id in reversed(ended)),
        (going_ahead, RunStatus.RUNNING),
        (going_on, RunStatus.RUNNING),
    ], "the newest first"
    assert ours[-1].time == datetime.fromtimestamp(newest / 1000, UTC)

    look = MlflowLook(TrackingServer("s", address), 7)
    every = [event.run_id for page in look.ended(datetime.now(UTC)) for event in page]
    assert len(every) == len(set(every))
    assert set(every).intersection([*ended, ahead, *deleted, long_ago, going_on]) == {*ended, ahead, long_ago}
