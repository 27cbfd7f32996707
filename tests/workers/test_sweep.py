"""The sweep: what it queues, and in which order workers take it."""

from __future__ import annotations

import pytest
from kombu.exceptions import OperationalError

from deploy.local.process import free_port
from store.hot import Hot
from store.models import InboxEvent, Run
from tests.store.samples import NOON
from tests.workers.conftest import outdated, queued
from tests.workers.test_inbox import RUN_ID, message
from workers import inbox
from workers.queue import PAGE, SOON, app, dispatch, dispatch_later
from workers.settings import Settings
from workers.sweep import _discover_for_ever, _take_up_unfinished, sweep

pytestmark = pytest.mark.usefixtures("tables", "queue", "configure")


def test_events_go_before_rebuilds_except_those_that_waited_long() -> None:
    outdated("waited")
    assert sweep() == 0
    assert queued() == [("rebuild_run", ["waited", 0])]
    Run.objects.update(rebuild_due_at=NOON)
    sweep()
    outdated("later")
    sweep()
    dispatch("fresh")
    assert queued() == [("rebuild_run", ["waited", 0]), ("warm_run", ["fresh"]), ("rebuild_run", ["later", 0])]


def test_the_sweep_queues_events_without_a_worker() -> None:
    inbox.record(message())
    assert sweep() == 0
    InboxEvent.objects.update(due_at=NOON)
    assert sweep() == 1
    assert queued() == [("warm_run", [RUN_ID])]


@pytest.mark.parametrize("more", [0, PAGE + 5])
def test_what_waits_in_the_queue_is_not_queued_twice(more: int) -> None:
    """Thousands of events are overdue before their turn. One whose task was lost is queued again, beside them."""
    for run_id in ("waits", "lost"):
        inbox.record(message(event_id=run_id, run_id=run_id))
    dispatch("waits")
    for number in range(more):
        dispatch(f"other{number}")
    app.send_task("expire", retry=False, priority=SOON)
    InboxEvent.objects.update(due_at=NOON)
    assert (sweep(), sweep()) == (1, 0)
    assert [arguments[0] for _, arguments in queued() if arguments][-1] == "lost"
    InboxEvent.objects.update(due_at=NOON)
    assert sweep() == 2, "the whole queue is lost"


def test_a_worker_that_starts_queues_only_what_is_not_queued() -> None:
    for run_id in ("soon", "later", "lost"):
        inbox.record(message(event_id=run_id, run_id=run_id))
    dispatch("soon")
    dispatch_later("later")
    _take_up_unfinished()
    assert queued() == [("warm_run", [run_id]) for run_id in ("soon", "lost", "later")]


def test_what_waits_behind_all_else_is_queued_before_it_once_overdue() -> None:
    inbox.record(message())
    dispatch_later(RUN_ID)
    InboxEvent.objects.update(due_at=NOON)
    assert sweep() == 1


def test_what_a_seek_has_brought_again_is_not_queued_twice() -> None:
    inbox.record(message())
    dispatch_later(RUN_ID)
    InboxEvent.objects.update(due_at=NOON, seek=1)
    sweep()
    assert queued() == [("warm_run", [RUN_ID])]
    InboxEvent.objects.update(due_at=NOON)
    sweep()
    assert queued() == [("warm_run", [RUN_ID])], "its task was lost"


@pytest.mark.parametrize("work", ["an event", "a rebuild"])
def test_while_redis_is_down_work_stays_due(work: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if work == "an event":
        inbox.record(message())
        InboxEvent.objects.update(due_at=NOON)
    else:
        outdated("run")
    monkeypatch.setattr("workers.queue.hot", lambda: Hot(f"redis://127.0.0.1:{free_port()}/0"))
    with pytest.raises(OperationalError, match="Redis is down"):
        sweep()
    monkeypatch.undo()
    sweep()
    assert len(queued()) == 1


def test_discovery_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.sweep.settings", lambda: Settings.read({"DISCOVER_SECONDS": "0"}))
    _discover_for_ever()
