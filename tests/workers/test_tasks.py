"""The tasks, called as Celery calls them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from store import warm as door
from store.models import InboxEvent, Run, RunSource
from tests.store.samples import NOON, announce, warm_run
from tests.workers import golden_run
from tests.workers.conftest import outdated, queued
from tests.workers.fetch.fake_mlflow import RUN_ID as FAKE_RUN_ID
from tests.workers.fetch.fake_mlflow import FakeMlflow
from tests.workers.test_inbox import PROGRESSED, STARTED, message
from warmboard.contract.entries import Encoding, EntryKey, Resolution
from workers import inbox
from workers.errors import PermanentError
from workers.fetch.fetcher import Fetcher, TrackingServer
from workers.history.ndjson import write_run
from workers.settings import Settings
from workers.sweep import sweep
from workers.tasks import expire, rebuild_run
from workers.tasks import warm_run as warm_run_task
from workers.warm import pipeline, rebuilds

pytestmark = pytest.mark.usefixtures("tables", "queue", "configure")
State = InboxEvent.State


def test_a_run_is_rebuilt_from_what_the_store_kept() -> None:
    run = replace(golden_run.fetched(golden_run.metrics(), golden_run.params()), run_id="run1")
    outdated(source=write_run(run))
    fetched_at = Run.objects.get().fetched_at
    rebuild_run("run1", 0)
    rebuilt = Run.objects.get()
    assert (rebuilt.is_warm, rebuilt.fetched_at, rebuilt.rebuild_attempts) == (True, fetched_at, 0)
    assert door.get(EntryKey.history("run1", Resolution.FULL), Encoding.ZSTD)
    assert rebuild_run("run1", 0).startswith("nothing to do")


def test_a_rebuild_that_needs_a_server_that_is_down_waits() -> None:
    outdated()
    for _ in range(3):
        assert rebuild_run("run1", 0).startswith("postponed: waits for tracking server 'default', down since ")
        waiting = Run.objects.get()
        assert waiting.rebuild_attempts == 0
        assert waiting.rebuild_due_at
        assert "down since" in waiting.rebuild_reason


def test_an_attempt_to_rebuild_that_could_not_be_recorded_is_given_back() -> None:
    outdated()
    assert rebuilds.claim("run1", 0, 2)
    rebuild_run("run1", 0, owed=True)
    assert Run.objects.get().rebuild_attempts == 0


def test_a_rebuild_that_mlflow_cannot_answer_is_retried_and_then_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    outdated()
    answers = FakeMlflow({})
    monkeypatch.setattr("workers.servers.probe.connections_to", lambda *_: answers)
    before = timezone.now()
    assert rebuild_run("run1", 0).startswith("postponed: ")
    waiting = Run.objects.get()
    assert waiting.rebuild_reason
    assert waiting.rebuild_due_at
    assert before + timedelta(seconds=30) <= waiting.rebuild_due_at <= timezone.now() + timedelta(seconds=60)
    with pytest.raises(PermanentError, match="gave up after 2 attempts: "):
        rebuild_run("run1", 1)
    parked = Run.objects.get()
    assert parked.rebuild_reason.startswith("gave up after 2 attempts: ")
    assert parked.rebuild_due_at is None
    Run.objects.update(rebuild_due_at=NOON)
    sweep()
    assert queued() == []


def test_a_run_that_can_neither_be_read_nor_fetched_is_given_up_at_once() -> None:
    outdated(source=b"broken")
    Run.objects.update(tracking_server="gone")
    with pytest.raises(PermanentError, match="no tracking server named 'gone'"):
        rebuild_run("run1", 0)
    assert Run.objects.get().rebuild_due_at is None
    sweep()
    assert queued() == []


def test_an_event_during_a_warming_waits_for_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = FakeMlflow(golden_run.metrics(), golden_run.params())
    outcomes = []

    def fetcher(server: TrackingServer, _: Settings) -> Fetcher:
        """Meanwhile events arrive, and other workers take their tasks."""
        for number in range(3):
            inbox.record(message(name=PROGRESSED, event_id=str(number), run_id=FAKE_RUN_ID))
            outcomes.append(warm_run_task.apply([FAKE_RUN_ID]).get())
        return Fetcher(server, transport=mlflow)

    monkeypatch.setattr(pipeline, "fetcher", fetcher)
    inbox.record(message(name=STARTED, run_id=FAKE_RUN_ID))
    assert "12 epochs" in warm_run_task.apply([FAKE_RUN_ID]).get()
    assert outcomes == ["nothing to do: no event that waits"] * 3
    assert queued() == [("warm_run", [FAKE_RUN_ID])]


def test_old_runs_and_events_are_dropped(configure: Callable[..., None]) -> None:
    long_ago = timezone.now() - timedelta(days=40)
    for run_id in ("run1", "run2"):
        announce(run_id)
        door.put(replace(warm_run("x", run_id=run_id), fetched_at=long_ago))
        inbox.record(message(event_id=run_id, run_id=run_id))
    InboxEvent.objects.update(state=State.DONE, received_at=long_ago)
    assert expire() == "0 runs expired, 0 events deleted", "by default: never, and after 90 days"
    configure(RETENTION_DAYS="30", INBOX_RETENTION_DAYS="0")
    assert expire() == "2 runs expired, 0 events deleted"
    configure(RETENTION_DAYS="0", INBOX_RETENTION_DAYS="30")
    assert expire() == "0 runs expired, 2 events deleted"
    assert not RunSource.objects.exists()
    assert Run.objects.count() == 2
