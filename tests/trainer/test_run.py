from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from contract.events import RunEvent, RunStatus
from tests.trainer.servers import FakeMlflow, FakePubsub, pubsub_server, settings
from tests.trainer.wire import Wire
from trainer import run as run_module
from trainer.errors import TrackingNotReady
from trainer.retry import Retry
from trainer.run import TrackedRun
from trainer.tracking import TrackingClient


@pytest.fixture
def pubsub() -> Iterator[FakePubsub]:
    with pubsub_server() as server:
        yield server


class Setup:
    """A run against a faked MLflow and a faked Pub/Sub, with its files in a folder."""

    def __init__(self, folder: Path, pubsub: FakePubsub) -> None:
        self.folder = folder
        self.pubsub = pubsub
        self.mlflow = FakeMlflow()
        self.wire = Wire(self.mlflow)

    def run(self, quick_test_id: int | None = 7) -> TrackedRun:
        client = TrackingClient(
            "http://mlflow.test:5000", session=self.wire.session(), retry=Retry(sleep=lambda seconds: None)
        )
        return TrackedRun(settings(str(self.folder), self.pubsub.address), client=client, quick_test_id=quick_test_id)

    def bodies(self, route: str) -> list[Any]:
        return [asked.body for asked in self.wire.asked if asked.route == route]

    def info(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.folder / "r1" / "mlflow_info.json").read_text())
        return document

    def event(self) -> RunEvent:
        (message,) = self.pubsub.messages
        return RunEvent.decode(message.data, message.attributes)


@pytest.fixture
def setup(tmp_path: Path, pubsub: FakePubsub) -> Setup:
    return Setup(tmp_path, pubsub)


def test_a_run_from_beginning_to_announcement(setup: Setup) -> None:
    with setup.run() as run:
        run.log_params({"epochs": 2})
        run.log_metrics({"loss": 1.0}, step=0)
        run.log_metrics({"loss": 0.5}, step=1)
    assert setup.wire.routes() == [
        "/health", "experiments/get-by-name", "runs/create",
        "runs/log-batch", "runs/log-batch", "runs/log-batch", "runs/update",
    ]  # fmt: skip
    assert setup.bodies("runs/create")[0]["run_name"] == "quick-test-7"
    (update,) = setup.bodies("runs/update")
    event, info = setup.event(), setup.info()
    assert (event.run_id, event.status, event.epochs, event.quick_test_id) == ("r1", RunStatus.FINISHED, 2, 7)
    assert event.end_time is not None
    assert round(event.end_time.timestamp() * 1000) == update["end_time"]
    assert event.mlflow_info_uri == (setup.folder / "r1" / "mlflow_info.json").as_uri() == run.info_uri
    assert info["run_id"] == "r1"
    assert info["tracking_uri"] == "http://mlflow.test:5000"
    assert (info["status"], info["epochs"], info["quick_test_id"]) == ("FINISHED", 2, 7)
    assert setup.pubsub.topics == ["projects/warmboard-local/topics/warmboard-runs"]
    assert run.published_at is not None


def test_without_an_id_the_name_has_the_time(setup: Setup) -> None:
    with setup.run(quick_test_id=None) as run:
        pass
    assert run.run_name.startswith("quick-test-2")
    assert run.run_name.endswith("Z")
    assert setup.event().quick_test_id is None


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("shapes"), RunStatus.FAILED),
        (SystemExit(1), RunStatus.FAILED),
        (SystemExit(143), RunStatus.KILLED),
        (KeyboardInterrupt(), RunStatus.KILLED),
        (SystemExit(0), RunStatus.FINISHED),
    ],
)
def test_however_it_ends_it_is_announced(setup: Setup, error: BaseException, status: RunStatus) -> None:
    def train() -> None:
        with setup.run() as run:
            run.log_metrics({"loss": 1.0}, step=0)
            raise error

    with pytest.raises(type(error)):
        train()
    assert setup.bodies("runs/update")[0]["status"] == status
    assert setup.info()["status"] == status
    assert (setup.event().status, setup.event().epochs) == (status, 1)
    assert len(setup.bodies("runs/log-batch")) == 1


def test_mlflow_going_away_does_not_fail_the_training(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(run_module, "FLUSH_SECONDS", 0.2)
    with setup.run() as run:
        setup.mlflow.away = True
        run.log_metrics({"loss": 1.0, "val_loss": 2.0}, step=0)
    assert run.buffer.lost == 2
    assert "2 values could not be sent" in caplog.text
    assert setup.event().status is RunStatus.FINISHED


def test_pubsub_refusing_does_not_lose_the_run(setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    setup.pubsub.refuse_with = grpc.StatusCode.PERMISSION_DENIED
    with setup.run() as run:
        run.log_metrics({"loss": 1.0}, step=0)
    assert run.published_at is None
    assert setup.info()["status"] == "FINISHED"
    assert f"python -m trainer.publish {run.info_uri}" in caplog.text


def test_a_folder_that_cannot_be_written_is_told_and_the_event_goes_out(
    setup: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    (setup.folder / "r1").write_text("in the way")
    with setup.run() as run:
        pass
    assert run.info_uri is None
    assert setup.event().mlflow_info_uri is None
    assert "mlflow_info.json is missing" in caplog.text


def test_a_server_that_is_never_ready_stops_the_program_before_it_trains(setup: Setup) -> None:
    setup.mlflow.away = True
    run = setup.run()
    run.ready_within = 0
    with pytest.raises(TrackingNotReady), run:
        pytest.fail("must not train")
    assert not setup.pubsub.messages
