"""Replay requests: which runs they select, in what order, and that nothing is lost or done twice."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from kombu.exceptions import OperationalError

from deploy.local.process import free_port
from store.hot import Hot
from store.models import InboxEvent, Run
from store.selection import selected
from tests.store.samples import NOON
from tests.workers.conftest import queued
from tests.workers.test_inbox import PROGRESSED, RUN_ID, message
from warmboard.contract.replay import ReplayRequest, Selection
from workers import inbox
from workers.inbox import Message
from workers.queue import Turn, dispatch
from workers.replay import batches as replay
from workers.sweep import sweep
from workers.tasks import replay_runs

pytestmark = pytest.mark.usefixtures("tables", "queue")
State = InboxEvent.State
NOW = datetime(2026, 1, 3, tzinfo=UTC)


def run_with(state: State, run_id: str, experiment: str = "e", received_at: datetime = NOON) -> None:
    """Record a run with one event, received then, in that state."""
    inbox.record(message(event_id=run_id, run_id=run_id, experiment_name=experiment, quick_test_id=None))
    due_at = NOON if state in inbox.UNFINISHED else None
    InboxEvent.objects.filter(run_id=run_id).update(state=state, received_at=received_at, due_at=due_at)


def request(selection: Selection, event_id: str = "r1") -> Message:
    data, attributes = ReplayRequest(id=event_id, time=NOW, selection=selection, requested_by="ada").encode()
    return Message(f"m-{event_id}", data, attributes, NOW)


def recorded(selection: Selection) -> InboxEvent:
    row = inbox.record(request(selection))
    assert row
    return row


def of(**criteria: Any) -> list[str]:
    return [run.run_id for run in selected(Selection(**criteria))]


def test_a_selection_is_the_runs_for_which_all_criteria_hold() -> None:
    run_with(State.FAILED, "a", "e1")
    run_with(State.FAILED, "b", "e2", NOON + timedelta(hours=2))
    run_with(State.DONE, "c", "e2", NOON + timedelta(hours=1))
    assert of(everything=True) == ["a", "b", "c"]
    assert of(run_id="b") == ["b"]
    assert of(failed=True) == ["a", "b"]
    assert of(experiment_name="e2") == ["b", "c"]
    assert of(experiment_name="e2", failed=True) == ["b"]
    assert of(since=NOON + timedelta(hours=1)) == ["b", "c"]
    assert of(since=NOON, until=NOON + timedelta(hours=2)) == ["a", "c"]
    assert of(failed=True, until=NOON) == []


def test_criteria_hold_for_one_and_the_same_event() -> None:
    run_with(State.FAILED, "a")
    inbox.record(message(event_id="later", run_id="a"))
    assert of(failed=True, since=NOON + timedelta(hours=1)) == []


def test_a_run_whose_events_are_deleted_is_selected_by_its_experiment() -> None:
    run_with(State.DONE, "a")
    InboxEvent.objects.all().delete()
    assert of(experiment_name="e") == of(everything=True) == ["a"]


def test_a_request_is_recorded_once_and_belongs_to_no_run() -> None:
    assert recorded(Selection(failed=True)).run_id == ""
    assert inbox.record(request(Selection(everything=True))) is None
    assert (inbox.pending(), inbox.due(timezone.now() + timedelta(days=1))) == ([], [])
    assert not Run.objects.exists()


def test_a_request_that_can_t_be_read_is_kept() -> None:
    sound = request(Selection(failed=True))
    row = inbox.record(Message("m", json.dumps({"requested_by": "ada"}).encode(), sound.attributes, NOW))
    assert row
    assert (row.state, row.source) == (State.UNREADABLE, inbox.UNREADABLE_SOURCE)
    assert row.reason.startswith("nothing is selected")
    assert inbox.record(sound), "it does not shadow the valid one"


def test_a_request_queues_its_runs_behind_events() -> None:
    for run_id in ("a", "b", "c"):
        run_with(State.FAILED if run_id != "c" else State.DONE, run_id)
    row = recorded(Selection(failed=True))
    replay_runs.apply([row.pk, 0]).get()
    row.refresh_from_db()
    assert (row.state, row.reason, row.due_at) == (State.DONE, "queued 2 runs", None)
    assert inbox.pending() == ["a", "b"]
    dispatch("live")
    assert [(name, arguments[0]) for name, arguments in queued()] == [
        ("warm_run", "live"), ("warm_run", "a"), ("warm_run", "b"),
    ]  # fmt: skip


def test_a_request_for_one_run_is_queued_like_an_event() -> None:
    run_with(State.DONE, "a")
    dispatch("before")
    replay_runs.apply([recorded(Selection(run_id="a")).pk, 0]).get()
    dispatch("after")
    assert queued() == [("warm_run", ["before"]), ("warm_run", ["a"]), ("warm_run", ["after"])]
    event = InboxEvent.objects.get(run_id="a")
    assert event.due_at
    assert event.due_at - timezone.now() <= inbox.dispatch_grace(), "someone may be waiting for it"


def test_a_large_request_goes_batch_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "BATCH", 2)
    for number in range(5):
        run_with(State.FAILED, f"run{number}")
    row = recorded(Selection(failed=True))
    replay_runs.apply([row.pk, 0]).get()
    row.refresh_from_db()
    assert (row.state, row.reason) == (State.WARMING, "queued 2 runs so far")
    following = queued()
    assert following == [("warm_run", ["run0"]), ("warm_run", ["run1"]), ("replay_runs", [row.pk, 0, "run1", 2])]
    replay_runs.apply(following[-1][1]).get()
    replay_runs.apply(queued()[-1][1]).get()
    row.refresh_from_db()
    assert (row.state, row.reason) == (State.DONE, "queued 5 runs")
    assert inbox.pending() == [f"run{number}" for number in range(5)]
    assert replay_runs.apply([row.pk, 0]).get().endswith("nothing more to do"), "a task that is delivered twice"
    assert queued() == [("warm_run", ["run4"])]


def test_a_lost_request_starts_again_without_the_runs_fetched_since(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "BATCH", 2)
    for number in range(4):
        run_with(State.DONE, f"run{number}")
    row = recorded(Selection(everything=True))
    replay_runs.apply([row.pk, 0]).get()
    Run.objects.filter(run_id="run0").update(fetched_at=timezone.now())
    # By a clock that is ahead: it may have been fetched at any time.
    Run.objects.filter(run_id="run1").update(fetched_at=timezone.now() + timedelta(days=1))
    queued()
    assert sweep() == 0
    assert queued() == [], "a worker may still hold it"
    InboxEvent.objects.filter(pk=row.pk).update(due_at=NOON)
    sweep()
    assert queued() == [("replay_runs", [row.pk, 1, "", 0])]
    assert replay.take(Turn(row.pk, 0, "run1", 2), "slow") is None, "its turn is over"
    turn = replay.take(Turn(row.pk, 1), "w1")
    while turn:
        turn = replay.take(turn, "w1")
    assert queued() == [("warm_run", ["run1"]), ("warm_run", ["run2"]), ("warm_run", ["run3"])]


def test_a_bug_fails_the_request_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    row = recorded(Selection(everything=True))

    def broken(*_: object) -> list[str]:
        raise ZeroDivisionError("unforeseen")

    monkeypatch.setattr(replay, "queue_batch", broken)
    with pytest.raises(ZeroDivisionError):
        replay.take(Turn(row.pk, 0), "w1")
    row.refresh_from_db()
    assert (row.state, row.reason) == (State.FAILED, "ZeroDivisionError: unforeseen")


def test_a_replay_settles_all_failed_events_of_a_run() -> None:
    inbox.record(message(name=PROGRESSED, event_id="p"))
    inbox.give_up(inbox.claim(RUN_ID, "w1"), "MLflow is down")
    inbox.record(message(event_id="c"))
    inbox.finish(inbox.claim(RUN_ID, "w1"))
    assert of(failed=True) == [RUN_ID]
    replay.queue_batch(Selection(failed=True), timezone.now(), "")
    inbox.finish(inbox.claim(RUN_ID, "w1"))
    assert of(failed=True) == []


def test_a_claim_has_its_time() -> None:
    inbox.record(message())
    before = timezone.now()
    claimed = inbox.claim(RUN_ID, "w1")[0]
    assert claimed.claimed_at
    assert before <= claimed.claimed_at <= timezone.now()


def test_while_redis_is_down_requests_stay_overdue(monkeypatch: pytest.MonkeyPatch) -> None:
    row = recorded(Selection(everything=True))
    InboxEvent.objects.update(due_at=NOON)
    with monkeypatch.context() as down:
        nowhere = f"redis://127.0.0.1:{free_port()}/0"
        down.setattr("workers.queue.hot", lambda: Hot(nowhere))
        down.setattr("workers.sweep.dispatch_turn", fail)
        with pytest.raises(OperationalError, match="Redis is down"):
            sweep()
    sweep()
    [(task, arguments)] = queued()
    assert (task, arguments[0]) == ("replay_runs", row.pk)


def fail(*_: object) -> None:
    raise OperationalError("Redis is down")
