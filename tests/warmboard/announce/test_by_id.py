"""`announce_run`: the event of a run that MLflow's own client has logged."""

from __future__ import annotations

import logging
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

import warmboard
from tests.warmboard.servers import FakePubsub, settings
from tests.warmboard.wire import Answer, Asked, Wire, error
from warmboard.announce import command
from warmboard.announce.by_id import event_of_run
from warmboard.contract.events import EventType, RunEvent, RunStatus, quick_test_of
from warmboard.errors import PublishError, TrackingError
from warmboard.tracking import Retry, TrackingClient

RUN_ID = "d41d8cd98f00b204e9800998ecf8427e"
END = 1_767_349_800_123
ENDED = {"run_id": RUN_ID, "experiment_id": "7", "status": "FINISHED", "end_time": END, "lifecycle_stage": "active"}
TAG = {"key": "quick_test_id", "value": "7"}


@dataclass
class Tracking:
    """An MLflow server with one run."""

    info: Any = field(default_factory=lambda: dict(ENDED))
    tags: Any = field(default_factory=lambda: [TAG])
    fails: Answer | Exception | None = None
    hangs: threading.Event | None = None

    def __call__(self, asked: Asked) -> Answer | Exception:
        if self.hangs:
            self.hangs.wait()
        if self.fails:
            return self.fails
        if asked.route == "experiments/get":
            assert asked.query == {"experiment_id": ["7"]}
            return Answer(200, {"experiment": {"experiment_id": "7", "name": "iris"}})
        assert (asked.route, asked.query) == ("runs/get", {"run_id": [RUN_ID]})
        return Answer(200, {"run": {"info": self.info, "data": {"tags": self.tags}}})

    def client(self) -> TrackingClient:
        retry = Retry(attempts=2, sleep=lambda _: None)
        return TrackingClient("http://mlflow.test:5000", session=Wire(self).session(), retry=retry)


def announce(tracking: Tracking, pubsub: FakePubsub, tmp_path: Path, **options: Any) -> bool:
    there = settings(str(tmp_path), pubsub.address, MLFLOW_TRACKING_SERVER="lab")
    return warmboard.announce_run(RUN_ID, settings=there, client=tracking.client(), **options)


def published(pubsub: FakePubsub) -> list[RunEvent]:
    return [RunEvent.decode(message.data, message.attributes) for message in pubsub.messages]


def test_what_mlflow_says_becomes_the_completed_event(pubsub: FakePubsub, tmp_path: Path) -> None:
    assert announce(Tracking(), pubsub, tmp_path)
    [event] = published(pubsub)
    assert (event.type, event.id) == (EventType.COMPLETED, f"{RUN_ID}.completed.{END}")
    assert (event.run_id, event.tracking_server, event.experiment_name) == (RUN_ID, "lab", "iris")
    assert (event.status, event.quick_test_id, event.epochs) == (RunStatus.FINISHED, 7, None)
    assert event.end_time is not None
    assert (event.time, round(event.end_time.timestamp() * 1000)) == (event.end_time, END)


def test_a_run_that_is_announced_twice_has_one_event(pubsub: FakePubsub, tmp_path: Path) -> None:
    assert announce(Tracking(), pubsub, tmp_path)
    assert announce(Tracking(), pubsub, tmp_path)
    one, two = published(pubsub)
    assert one == two


@given(st.integers(1, 4_102_444_800_000), st.sampled_from(["FINISHED", "FAILED", "KILLED"]))
def test_any_end_is_in_the_event_to_the_millisecond(end: int, status: str) -> None:
    tracking = Tracking({**ENDED, "status": status, "end_time": end})
    event = event_of_run(RUN_ID, settings("unused", ""), tracking.client())
    assert (event.status, event.id) == (status, f"{RUN_ID}.completed.{end}")
    assert event.end_time is not None
    assert round(event.end_time.timestamp() * 1000) == end


@pytest.mark.parametrize(
    ("tracking", "said"),
    [
        (Tracking({**ENDED, "status": "RUNNING", "end_time": None}), r"is RUNNING in MLflow: .* after mlflow\.end_run"),
        (Tracking({**ENDED, "end_time": None}), "has no end time in MLflow"),
        (Tracking({**ENDED, "lifecycle_stage": "deleted"}), "is deleted in MLflow"),
        (Tracking(fails=error(404, "RESOURCE_DOES_NOT_EXIST")), "has no run d41d8.* MLFLOW_TRACKING_URI right"),
        (Tracking(fails=Answer(503)), "HTTP 503"),
        (Tracking(fails=Answer(403)), "may this identity use the server"),
        (Tracking(fails=Answer(200, {"run": []})), "not an answer of MLflow"),
        (Tracking({**ENDED, "status": "DONE"}), "unlike MLflow"),
        (Tracking({**ENDED, "end_time": 10**30}), "unlike MLflow"),
        (Tracking({**ENDED, "end_time": "soon"}), "unlike MLflow"),
        (Tracking({"status": "FINISHED", "end_time": END}), "unlike MLflow"),
        (Tracking(tags=[{}]), "unlike MLflow"),
    ],
)
def test_what_has_no_event_is_told_and_fails_no_training(
    tracking: Tracking, said: str, pubsub: FakePubsub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert not announce(tracking, pubsub, tmp_path)
    assert pubsub.messages == []
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert f"warmboard publish {RUN_ID}" in record.message
    with pytest.raises((PublishError, TrackingError), match=said) as caught:
        event_of_run(RUN_ID, settings(str(tmp_path), pubsub.address), tracking.client())
    assert str(caught.value) in record.message


@pytest.mark.parametrize("run_id", ["", "a/b", "x" * 65, None, {"run_id": RUN_ID}])
def test_what_is_no_run_id_is_told_without_a_request(
    run_id: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert not warmboard.announce_run(run_id, settings=settings(str(tmp_path), ""), client=Tracking().client())
    assert "is not the ID of a run" in caplog.text


def test_pubsub_that_rejects_is_told(pubsub: FakePubsub, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pubsub.refuse_with = grpc.StatusCode.PERMISSION_DENIED
    assert not announce(Tracking(), pubsub, tmp_path)
    assert "Pub/Sub did not accept the event" in caplog.text


def test_a_server_that_hangs_costs_no_more_than_the_timeout(
    pubsub: FakePubsub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hangs = threading.Event()
    try:
        assert not announce(Tracking(hangs=hangs), pubsub, tmp_path, within=0.1)
    finally:
        hangs.set()
    assert "MLflow at http://mlflow.test:5000 did not answer within 0.1 s" in caplog.text


def test_pubsub_that_is_down_is_told(pubsub: FakePubsub, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pubsub.address = "127.0.0.1:1"
    assert not announce(Tracking(), pubsub, tmp_path, within=0.5)
    assert re.search(r"Pub/Sub, with topic [\w-]+, did not answer|Pub/Sub did not accept the event", caplog.text)


def test_a_wrong_setting_is_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nowhere")
    assert not warmboard.announce_run(RUN_ID)
    assert "MLFLOW_TRACKING_URI" in caplog.text


class TestCommand:
    @pytest.fixture(autouse=True)
    def tracking(self, pubsub: FakePubsub, monkeypatch: pytest.MonkeyPatch) -> Tracking:
        tracking = Tracking()
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub.address)
        session = Wire(tracking).session()
        monkeypatch.setattr("requests.Session", lambda: session)
        return tracking

    def test_a_run_is_published_by_its_id(self, pubsub: FakePubsub, capsys: pytest.CaptureFixture[str]) -> None:
        assert command.main([RUN_ID]) == 0
        assert f"Published run {RUN_ID} (FINISHED) as message 1." in capsys.readouterr().out
        [event] = published(pubsub)
        assert event.id == f"{RUN_ID}.completed.{END}"

    def test_one_in_progress_is_not(self, tracking: Tracking, capsys: pytest.CaptureFixture[str]) -> None:
        tracking.info |= {"status": "RUNNING", "end_time": None}
        assert command.main([RUN_ID]) == 1
        assert "Not published. run" in capsys.readouterr().err


@given(st.one_of(st.text(max_size=12), st.integers(-5, 2**40).map(str), st.none()))
def test_a_quick_test_id_is_one_that_an_event_may_carry(value: str | None) -> None:
    number = quick_test_of({"quick_test_id": value, "team": "x"})
    assert number is None or (str(number) == str(value).lstrip("0") and 1 <= number < 2**31)
    assert quick_test_of({}) is None
