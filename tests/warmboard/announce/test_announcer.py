"""Announcements of a run in progress, and of its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest

from tests.waiting import PATIENCE
from tests.warmboard.servers import FakePubsub, settings
from warmboard.announce import Announcer
from warmboard.contract.events import EventType, RunEvent, RunStatus
from warmboard.contract.info import RunInfo
from warmboard.settings import Settings

START = datetime(2026, 1, 2, 10, 28, tzinfo=UTC)
INFO = RunInfo(
    run_id="r1",
    run_name="quick-test-7",
    tracking_uri="http://mlflow.test:5000",
    tracking_server="default",
    experiment_id="7",
    experiment_name="two-tower",
    status=RunStatus.RUNNING,
    start_time=START,
    quick_test_id=7,
)
ENDED = replace(INFO, status=RunStatus.FINISHED, end_time=datetime(2026, 1, 2, 10, 30, tzinfo=UTC), epochs=9)
QUICK = 0.01


@pytest.fixture
def there(tmp_path: Path, pubsub: FakePubsub) -> Settings:
    return settings(str(tmp_path), pubsub.address)


def events(pubsub: FakePubsub) -> list[RunEvent]:
    return [RunEvent.decode(message.data, message.attributes) for message in pubsub.messages]


def wait(reached: Callable[[], object]) -> None:
    begin = time.monotonic()
    while not reached():
        assert time.monotonic() - begin < PATIENCE
        time.sleep(0.005)


def wait_for_messages(pubsub: FakePubsub, count: int) -> None:
    wait(lambda: len(pubsub.messages) == count)


def end(announcer: Announcer) -> tuple[str | None, datetime | None]:
    announcer.close()
    uri = announcer.leave_info(ENDED, 5)
    return uri, announcer.completed(ENDED, uri, 5)


def info_of(folder: Path) -> RunInfo:
    return RunInfo.decode((folder / "r1" / "mlflow_info.json").read_bytes())


def test_a_run_from_its_start_to_its_end(there: Settings, pubsub: FakePubsub, tmp_path: Path) -> None:
    announcer = Announcer(there, progress_seconds=QUICK)
    announcer.started(INFO)
    wait(lambda: len(pubsub.messages) == 1)
    assert info_of(tmp_path) == INFO
    for epochs in (1, 2):
        announcer.progressed(epochs)
        wait_for_messages(pubsub, 1 + epochs)
    uri, published_at = end(announcer)
    assert [(event.type, event.epochs) for event in events(pubsub)] == [
        (EventType.STARTED, 0),
        (EventType.PROGRESSED, 1),
        (EventType.PROGRESSED, 2),
        (EventType.COMPLETED, 9),
    ]
    assert info_of(tmp_path) == ENDED
    assert uri == events(pubsub)[-1].mlflow_info_uri
    assert published_at is not None


def test_many_epochs_make_one_event(there: Settings, pubsub: FakePubsub) -> None:
    announcer = Announcer(there, progress_seconds=0.3)
    announcer.started(INFO)
    wait(lambda: pubsub.messages)
    for epochs in range(1, 200):
        announcer.progressed(epochs)
    wait(lambda: len(pubsub.messages) == 2)
    assert events(pubsub)[1].epochs == 199
    announcer.close()


def test_an_older_epoch_is_not_published(there: Settings, pubsub: FakePubsub) -> None:
    announcer = Announcer(there, progress_seconds=QUICK)
    announcer.started(INFO)
    for epochs in (5, 3, 5):
        announcer.progressed(epochs)
    announcer.progressed(6)
    wait(lambda: pubsub.messages and events(pubsub)[-1].epochs == 6)
    announcer.close()
    assert [event.epochs for event in events(pubsub)] in ([0, 6], [0, 5, 6])


def test_without_live_events_there_is_the_file_and_the_end(pubsub: FakePubsub, tmp_path: Path) -> None:
    announcer = Announcer(settings(str(tmp_path), pubsub.address, LIVE_EVENTS="false"), progress_seconds=QUICK)
    announcer.started(INFO)
    announcer.progressed(1)
    wait(lambda: (tmp_path / "r1" / "mlflow_info.json").exists())
    end(announcer)
    assert [event.type for event in events(pubsub)] == [EventType.COMPLETED]


def test_after_an_outage_of_pubsub_the_latest_epoch_is_published(
    there: Settings, pubsub: FakePubsub, caplog: pytest.LogCaptureFixture
) -> None:
    pubsub.refuse_with = grpc.StatusCode.PERMISSION_DENIED
    announcer = Announcer(there, progress_seconds=QUICK)
    announcer.started(INFO)
    announcer.progressed(1)
    wait(lambda: "did not accept the event" in caplog.text)
    pubsub.refuse_with = None
    announcer.progressed(2)
    wait(lambda: pubsub.messages)
    announcer.close()
    assert events(pubsub)[-1].epochs == 2
    assert caplog.text.count("did not accept the event") == 1


def test_a_late_start_does_not_overwrite_the_end(there: Settings, tmp_path: Path) -> None:
    end(Announcer(there))
    late = Announcer(there)
    late.started(INFO)
    wait(lambda: late._connected)
    late.close()
    assert info_of(tmp_path) == ENDED


def test_an_unpublished_end_logs_the_command(
    there: Settings, pubsub: FakePubsub, caplog: pytest.LogCaptureFixture
) -> None:
    pubsub.refuse_with = grpc.StatusCode.PERMISSION_DENIED
    uri, published_at = end(Announcer(there))
    assert published_at is None
    assert f"warmboard publish {uri}" in caplog.text
