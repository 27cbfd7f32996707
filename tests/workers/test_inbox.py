"""The inbox: once in, an event is never lost, never doubled, and everything that happens to it is written down."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from store.models import InboxEvent, QuickTest, Run
from tests.contract.test_events import golden
from tests.store.samples import NOON
from workers import inbox
from workers.inbox import Message

pytestmark = pytest.mark.usefixtures("tables")
State = InboxEvent.State
RUN_ID = golden()[0]["run_id"]


def message(message_id: str = "1", name: str = "event-completed-v1.json", **change: Any) -> Message:
    data, attributes = golden(name)
    if "event_id" in change:
        attributes["ce-id"] = change.pop("event_id")
    return Message(message_id, json.dumps({**data, **change}).encode(), attributes, NOON)


def test_the_same_event_thrice_is_one_row() -> None:
    rows = [inbox.record(message(str(number))) for number in range(3)]
    assert [row is not None for row in rows] == [True, False, False]
    assert InboxEvent.objects.count() == 1


def test_the_run_and_its_quick_test_exist_from_the_first_event_on() -> None:
    inbox.record(message())
    assert Run.objects.get().experiment_name == "two-tower"
    test = QuickTest.objects.get(pk=7)
    assert (test.mlflow_run_id, test.mlflow_experiment_name) == (RUN_ID, "two-tower")


def test_a_run_without_a_quick_test_gets_one() -> None:
    inbox.record(message(name="event-started-v1.json", quick_test_id=None))
    inbox.record(message(quick_test_id=None))
    assert QuickTest.objects.get().mlflow_run_id == RUN_ID


def test_numbers_given_and_numbers_drawn_do_not_collide() -> None:
    inbox.record(message(quick_test_id=7))
    for number in range(10):
        inbox.record(message(event_id=f"other {number}", run_id=f"run{number}", quick_test_id=None))
    assert QuickTest.objects.count() == 11


def test_a_quick_test_points_at_its_newest_run() -> None:
    inbox.record(message())
    inbox.record(message(event_id="again", run_id="second"))
    assert QuickTest.objects.get(pk=7).mlflow_run_id == "second"
    assert Run.objects.count() == 2


@pytest.mark.parametrize("data", [b"not json", b"\x00\xff", b"{}"])
def test_an_unreadable_message_is_kept_with_its_reason(data: bytes) -> None:
    attributes = {**golden()[1], "odd\0key": "odd\0value"}
    row = inbox.record(Message("m1", data, attributes, NOON))
    assert row
    row.refresh_from_db()
    assert (row.state, row.event_id, bytes(row.data)) == (State.UNREADABLE, "m1", data)
    assert row.reason
    assert inbox.record(Message("m1", data, attributes, NOON)) is None
    assert inbox.record(message()), "the sound event with the same ID still gets in"
    assert inbox.claim("") == []


def test_a_claim_takes_all_unfinished_events_of_the_run() -> None:
    inbox.record(message(name="event-started-v1.json"))
    inbox.record(message())
    inbox.record(message(event_id="x", run_id="other"))
    claimed = inbox.claim(RUN_ID)
    assert [(event.state, event.attempts) for event in claimed] == [(State.WARMING, 1)] * 2
    inbox.finish(claimed)
    assert inbox.claim(RUN_ID) == []
    assert inbox.unfinished() == ["other"]


def test_an_event_that_arrives_while_its_run_is_being_warmed_asks_for_another_warming() -> None:
    inbox.record(message(name="event-started-v1.json"))
    claimed = inbox.claim(RUN_ID)
    inbox.record(message())
    inbox.finish(claimed)
    assert [event.type for event in inbox.claim(RUN_ID)] == ["warmboard.run.completed.v1"]


def test_what_nobody_works_at_becomes_due_once_per_grace_period() -> None:
    inbox.record(message())
    now = timezone.now()
    assert inbox.due(now) == []
    later = now + inbox.DISPATCH_GRACE + timedelta(seconds=1)
    assert inbox.due(later) == [RUN_ID]
    assert inbox.due(later) == []
    inbox.claim(RUN_ID)
    assert inbox.due(timezone.now() + inbox.DISPATCH_GRACE) == [], "a worker is at it"
    assert inbox.due(timezone.now() + inbox.LEASE) == [RUN_ID], "that worker must be dead"
    claimed = inbox.claim(RUN_ID)
    InboxEvent.objects.update(due_at=now)
    inbox.renew(claimed)
    assert inbox.due(timezone.now() + inbox.DISPATCH_GRACE) == [], "it has just said that it goes on"


def test_a_failed_event_is_kept_and_can_be_reopened() -> None:
    inbox.record(message())
    inbox.give_up(inbox.claim(RUN_ID), "no such run")
    row = InboxEvent.objects.get()
    assert (row.state, row.reason) == (State.FAILED, "no such run")
    assert inbox.unfinished() == []
    assert inbox.reopen(RUN_ID)
    row.refresh_from_db()
    assert (row.state, row.reason, row.attempts) == (State.PENDING, "", 0)
    assert inbox.reopen("never-heard-of") is None
