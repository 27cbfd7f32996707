"""The inbox: an event in it is never lost, never doubled, and its state is always recorded."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from store import clock, runs
from store.models import InboxEvent, QuickTest, Run
from tests.store.samples import NOON
from tests.warmboard.contract.test_events import golden
from workers import inbox
from workers.inbox import Message

pytestmark = pytest.mark.usefixtures("tables")
State = InboxEvent.State
RUN_ID = golden()[0]["run_id"]
STARTED, PROGRESSED = "event-started-v1.json", "event-progressed-v1.json"
BEFORE, AFTER = "2026-01-02T10:29:30Z", "2026-01-02T10:31:00Z"
"""Before and after the golden completed event."""


def message(message_id: str = "1", name: str = "event-completed-v1.json", **change: Any) -> Message:
    data, attributes = golden(name)
    if "event_id" in change:
        attributes["ce-id"] = change.pop("event_id")
    if "time" in change:
        attributes["ce-time"] = change.pop("time")
    return Message(message_id, json.dumps({**data, **change}).encode(), attributes, NOON)


def test_the_same_event_three_times_is_one_row() -> None:
    rows = [inbox.record(message(str(number))) for number in range(3)]
    assert [row is not None for row in rows] == [True, False, False]
    assert InboxEvent.objects.count() == 1


def test_the_run_and_its_quick_test_exist_from_the_first_event_on() -> None:
    inbox.record(message())
    assert Run.objects.get().experiment_name == "two-tower"
    test = QuickTest.objects.get(pk=7)
    assert (test.mlflow_run_id, test.mlflow_experiment_name) == (RUN_ID, "two-tower")


def test_the_product_numbers_quick_tests() -> None:
    inbox.record(message(quick_test_id=None))
    assert not QuickTest.objects.exists()
    inbox.record(message(event_id="numbered", run_id="second", quick_test_id=1))
    assert QuickTest.objects.get().mlflow_run_id == "second"
    for _ in range(3):
        QuickTest.objects.create()
    assert QuickTest.objects.count() == 4, "the database continues after the given IDs"


def test_a_quick_test_points_at_its_newest_run() -> None:
    QuickTest.objects.create(pk=7, mlflow_run_id="before", training_history_json={"of": "another run"})
    inbox.record(message())
    test = QuickTest.objects.get(pk=7)
    assert (test.mlflow_run_id, test.training_history_json) == (RUN_ID, None)
    late = message(event_id="late", run_id="older")
    late.attributes["ce-time"] = "2020-01-01T00:00:00Z"
    inbox.record(late)
    assert QuickTest.objects.get(pk=7).mlflow_run_id == RUN_ID
    assert Run.objects.count() == 2


def test_unprintable_attributes_of_a_valid_event_are_made_printable() -> None:
    odd = message()
    odd.attributes["trace\0"] = "\0"
    assert inbox.record(odd)
    assert inbox.claim(RUN_ID, "w1")[0].event().run_id == RUN_ID


@pytest.mark.parametrize("data", [b"not json", b"\x00\xff", b"{}", b"[" * 200_000])
def test_an_unreadable_message_is_kept_with_its_reason(data: bytes) -> None:
    attributes = {**golden()[1], "odd\0key": "odd\0value"}
    row = inbox.record(Message("m1", data, attributes, NOON))
    assert row
    row.refresh_from_db()
    assert (row.state, row.event_id, bytes(row.data)) == (State.UNREADABLE, row.event_id, data)
    assert row.event_id.startswith("m1.")
    assert row.reason
    assert inbox.record(Message("m1", data, attributes, NOON)) is None
    assert inbox.record(message()), "a valid event with the same ID is still recorded"
    assert inbox.claim("", "w1") == []


@given(messages=st.lists(st.tuples(st.sampled_from("12"), st.binary(max_size=3), st.sampled_from(["", "a", "\0"]))))
def test_an_emulator_that_gives_ids_again_hides_no_unreadable_message(messages: list[tuple[str, bytes, str]]) -> None:
    InboxEvent.objects.all().delete()
    for number, data, attribute in messages:
        inbox.record(Message(number, data, {"x": attribute} if attribute else {}, NOON))
    assert InboxEvent.objects.count() == len(set(messages))


@pytest.mark.parametrize("long", ["x" * 10_000, "\N{SNOWMAN}" * 10_000])
def test_a_reason_has_at_most_two_kilobytes(long: str) -> None:
    row = inbox.record(Message("m1", b"{}", {**golden()[1], "ce-type": long}, NOON))
    assert row
    assert 1900 < len(row.reason.encode()) <= 2000
    inbox.record(message())
    inbox.give_up(inbox.claim(RUN_ID, "w1"), long)
    assert 1900 < len(InboxEvent.objects.get(state=State.FAILED).reason.encode()) <= 2000


def test_a_large_message_is_kept_whole() -> None:
    padded = message(padding="x" * 9_900_000)
    row = inbox.record(padded)
    assert row
    row.refresh_from_db()
    assert (row.state, bytes(row.data)) == (State.UNREADABLE, padded.data)
    assert row.reason.startswith("data has 9,900,")


def test_an_event_without_a_time_happened_when_it_was_published() -> None:
    timeless = message()
    del timeless.attributes["ce-time"]
    row = inbox.record(timeless)
    assert row
    assert row.happened_at == NOON
    assert inbox.claim(RUN_ID, "w1")[0].event().time == NOON


def test_a_claim_takes_all_unfinished_events_of_the_run() -> None:
    inbox.record(message())
    inbox.record(message(event_id="again"))
    inbox.record(message(event_id="x", run_id="other"))
    claimed = inbox.claim(RUN_ID, "w1")
    assert [(event.state, event.attempts) for event in claimed] == [(State.WARMING, 1)] * 2
    inbox.finish(claimed)
    assert inbox.claim(RUN_ID, "w1") == []
    assert inbox.pending() == ["other"]


def test_a_claim_takes_few_statements() -> None:
    inbox.record(message())
    with CaptureQueriesContext(connection) as queries:
        assert inbox.claim(RUN_ID, "w1")
    # The time (of PostgreSQL), the run, its events, the claim, and what was claimed.
    assert len([query for query in queries if query["sql"].startswith(("SELECT", "UPDATE"))]) <= 5


def test_an_event_that_arrives_during_a_warming_causes_another_one() -> None:
    inbox.record(message(name="event-started-v1.json"))
    claimed = inbox.claim(RUN_ID, "w1")
    inbox.record(message())
    inbox.finish(claimed)
    assert [event.type for event in inbox.claim(RUN_ID, "w1")] == ["warmboard.run.completed.v1"]


def test_an_event_without_a_worker_becomes_due_once_per_grace_period() -> None:
    inbox.record(message())
    now = timezone.now()
    assert inbox.due(now) == []
    later = now + inbox.dispatch_grace() + timedelta(seconds=1)
    assert inbox.due(later) == [RUN_ID]
    assert inbox.due(later) == []


def test_a_claim_lasts_as_long_as_it_is_renewed() -> None:
    inbox.record(message())
    first = inbox.claim(RUN_ID, "w1")
    assert inbox.claim(RUN_ID, "w2") == [], "w1 holds it"
    InboxEvent.objects.update(due_at=NOON)
    inbox.renew(first)
    assert inbox.due(timezone.now()) == []
    InboxEvent.objects.update(due_at=NOON)
    assert inbox.due(timezone.now()) == [RUN_ID], "its lease has expired"
    second = inbox.claim(RUN_ID, "w2")
    assert second[0].attempts == 2
    inbox.give_up(first, "the first worker was only slow")
    assert InboxEvent.objects.get().state == State.WARMING, "its claim no longer holds"
    inbox.finish(second)
    assert InboxEvent.objects.get().state == State.DONE


def test_what_a_killed_process_held_is_released_and_its_attempt_counts() -> None:
    inbox.record(message())
    inbox.claim(RUN_ID, "celery@a-1/10")
    assert inbox.release("celery@a-1/1") == []
    assert inbox.pending() == []
    assert inbox.release("celery@a-1/10") == [RUN_ID]
    assert inbox.pending() == inbox.due(clock.now()) == [RUN_ID]
    assert inbox.claim(RUN_ID, "celery@a-1/11")[0].attempts == 2


def test_what_an_ending_worker_held_is_given_back_and_costs_no_attempt() -> None:
    inbox.record(message())
    [held] = inbox.claim(RUN_ID, "celery@a-1/10")
    assert inbox.give_back("celery@a-2/") == []
    assert inbox.give_back("celery@a-1/") == [RUN_ID]
    assert inbox.pending() == inbox.due(clock.now()) == [RUN_ID]
    inbox.give_up([held], "too late")
    assert (InboxEvent.objects.get().state, InboxEvent.objects.get().attempts) == (State.PENDING, 0)
    assert inbox.claim(RUN_ID, "celery@a-2/10")[0].attempts == 1


def test_a_claim_that_was_lost_costs_no_attempt() -> None:
    inbox.record(message())
    first = inbox.claim(RUN_ID, "w1")
    InboxEvent.objects.update(due_at=NOON)
    second = inbox.claim(RUN_ID, "w2")
    assert not inbox.renew(first)
    assert inbox.renew(second)
    inbox.finish(first)
    assert (InboxEvent.objects.get().state, InboxEvent.objects.get().attempts) == (State.WARMING, 1)
    inbox.finish(second)
    inbox.forfeit(first[0])
    assert (InboxEvent.objects.get().state, InboxEvent.objects.get().attempts) == (State.DONE, 1)


def test_a_replay_does_not_change_when_the_run_was_first_warm() -> None:
    inbox.record(message())
    inbox.finish(inbox.claim(RUN_ID, "w1"))
    first = InboxEvent.objects.get().done_at
    assert first
    inbox.reopen(RUN_ID)
    inbox.finish(inbox.claim(RUN_ID, "w1"))
    assert (InboxEvent.objects.get().state, InboxEvent.objects.get().done_at) == (State.DONE, first)


def test_a_replay_is_not_closed_by_the_warming_before_it() -> None:
    inbox.record(message())
    before = inbox.claim(RUN_ID, "w1")
    inbox.reopen(RUN_ID)
    inbox.finish(before)
    assert inbox.pending() == [RUN_ID]


def test_a_replay_is_not_closed_by_a_worker_with_an_older_claim() -> None:
    inbox.record(message())
    before = inbox.claim(RUN_ID, "w1")
    inbox.reopen(RUN_ID)
    replayed = inbox.claim(RUN_ID, "w2")
    assert before[0].attempts == replayed[0].attempts == 1
    inbox.give_up(before, "too late")
    assert InboxEvent.objects.get().state == State.WARMING
    inbox.finish(replayed)
    assert InboxEvent.objects.get().state == State.DONE


def test_a_failed_event_is_kept_and_can_be_reopened() -> None:
    inbox.record(message())
    inbox.give_up(inbox.claim(RUN_ID, "w1"), "no such run")
    row = InboxEvent.objects.get()
    assert (row.state, row.reason) == (State.FAILED, "no such run")
    assert inbox.pending() == []
    assert inbox.reopen(RUN_ID)
    row.refresh_from_db()
    assert (row.state, row.reason, row.attempts) == (State.PENDING, "", 0)
    assert inbox.reopen("never-heard-of") is None


def states() -> dict[str, tuple[str, str]]:
    return {event.event_id: (event.state, event.reason) for event in InboxEvent.objects.all()}


def test_a_burst_of_live_events_is_one_warming() -> None:
    inbox.record(message(name=STARTED))
    for number in range(5):
        inbox.record(message(name=PROGRESSED, event_id=str(number)))
    assert [event.event_id for event in inbox.claim(RUN_ID, "w1")] == ["4"]
    assert sorted(states().values())[:5] == [(State.DONE, inbox.COALESCED)] * 5


def test_live_events_wait_for_the_warming_in_progress() -> None:
    inbox.record(message(name=STARTED))
    first = inbox.claim(RUN_ID, "w1")
    inbox.record(message(name=PROGRESSED))
    assert inbox.claim(RUN_ID, "w2") == []
    assert not inbox.waits(RUN_ID), "w1 queues it when it is done"
    inbox.finish(first)
    assert inbox.waits(RUN_ID)
    assert len(inbox.claim(RUN_ID, "w2")) == 1
    assert not inbox.waits(RUN_ID)


def test_live_events_do_not_wait_for_a_dead_worker() -> None:
    inbox.record(message(name=STARTED))
    inbox.claim(RUN_ID, "w1")
    inbox.record(message(name=PROGRESSED))
    InboxEvent.objects.filter(state=State.WARMING).update(due_at=NOON)
    assert [event.type for event in inbox.claim(RUN_ID, "w2")] == ["warmboard.run.progressed.v1"]


def test_a_completed_event_does_not_wait_and_covers_all_that_wait() -> None:
    inbox.record(message(name=STARTED))
    inbox.claim(RUN_ID, "w1")
    inbox.record(message(name=PROGRESSED))
    inbox.record(message())
    claimed = inbox.claim(RUN_ID, "w2")
    assert [event.type for event in claimed] == ["warmboard.run.completed.v1"]
    assert not InboxEvent.objects.filter(state=State.PENDING).exists()


def test_live_events_of_a_run_that_has_completed_since_need_no_fetch() -> None:
    inbox.record(message())
    inbox.finish(inbox.claim(RUN_ID, "w1"))
    inbox.record(message(name=STARTED, event_id="s"))
    inbox.record(message(name=PROGRESSED, event_id="before", time=BEFORE))
    inbox.record(message(name=PROGRESSED, event_id="after", time=AFTER))
    claimed = inbox.claim(RUN_ID, "w1")
    assert [event.event_id for event in claimed] == ["after"], "the run may have been resumed"
    inbox.finish(claimed)
    assert states()["s"] == states()["before"] == (State.DONE, inbox.SUPERSEDED)
    assert states()["after"] == (State.DONE, "")
    assert InboxEvent.objects.get(event_id="s").done_at is None
    assert inbox.claim(RUN_ID, "w1") == []


def test_a_completed_event_that_is_not_done_settles_nothing() -> None:
    inbox.record(message(event_id="c"))
    inbox.give_up(inbox.claim(RUN_ID, "w1"), "MLflow is down")
    inbox.record(message(name=PROGRESSED, event_id="p", time=BEFORE))
    assert [event.event_id for event in inbox.claim(RUN_ID, "w1")] == ["p"]


@pytest.mark.parametrize("time", [BEFORE, AFTER])
def test_a_progressed_event_does_not_resume_a_completed_run(time: str) -> None:
    inbox.record(message())
    announced_at = Run.objects.get().announced_at
    inbox.record(message(name=PROGRESSED, time=time))
    run = Run.objects.get()
    assert (run.status, run.announced_at) == ("FINISHED", announced_at)


def test_a_run_is_completed_though_clocks_disagree() -> None:
    inbox.record(message(name=PROGRESSED, time=AFTER))
    assert Run.objects.get().status == "RUNNING"
    inbox.record(message())
    run = Run.objects.get()
    assert (run.status, run.announced_at) == ("FINISHED", datetime.fromisoformat(AFTER))
    assert run.end_time


def test_a_resumed_run_is_in_progress() -> None:
    inbox.record(message())
    inbox.record(message(name=STARTED, event_id="resumed", time=AFTER))
    run = Run.objects.get()
    assert (run.status, run.end_time) == ("RUNNING", None)
    inbox.record(message(event_id="of the first part, late", end_time="2026-01-02T10:30:01Z"))
    assert Run.objects.get().status == "RUNNING"
    inbox.record(message(event_id="again", time="2026-01-02T11:00:00Z", status="KILLED"))
    assert Run.objects.get().status == "KILLED"


def test_a_run_that_no_event_announced_can_be_announced() -> None:
    def make_row(status: str) -> None:
        known = {"tracking_server": "default", "experiment_name": "e"}
        runs.make_row("unheard", status=status, time=NOON, **known)

    make_row("FINISHED")
    make_row("RUNNING")
    run = Run.objects.get()
    assert (run.status, run.announced_at, run.tracking_server) == ("FINISHED", NOON, "default")
    assert not InboxEvent.objects.exists()


def test_a_replay_takes_the_completed_event_which_always_causes_a_fetch() -> None:
    inbox.record(message(event_id="c"))
    late = message(name=PROGRESSED, event_id="p", time=BEFORE)
    inbox.record(Message(late.message_id, late.data, late.attributes, NOON + timedelta(seconds=1)))
    inbox.finish(inbox.claim(RUN_ID, "w1"))
    reopened = inbox.reopen(RUN_ID)
    assert reopened
    assert reopened.event_id == "c"
    assert len(inbox.claim(RUN_ID, "w1")) == 1


def test_a_run_whose_events_are_deleted_can_be_replayed() -> None:
    inbox.record(message())
    before = Run.objects.get()
    InboxEvent.objects.all().delete()
    for _ in range(2):
        reopened = inbox.reopen(RUN_ID)
        assert reopened
        event = inbox.claim(RUN_ID, "w1")[0].event()
        assert (event.run_id, event.tracking_server, event.status) == (RUN_ID, "default", "FINISHED")
        inbox.finish(list(InboxEvent.objects.all()))
    assert InboxEvent.objects.count() == 1
    after = Run.objects.get()
    assert (after.status, after.end_time, after.announced_at) == (before.status, before.end_time, before.announced_at)


def test_settled_events_are_deleted_when_they_are_old() -> None:
    for state in State:
        inbox.record(message(event_id=state))
        InboxEvent.objects.filter(event_id=state).update(state=state, received_at=NOON)
    inbox.record(message(event_id="new"))
    InboxEvent.objects.filter(event_id="new").update(state=State.DONE)
    now = timezone.now() - timedelta(days=1)
    assert [inbox.delete_settled(now, 1) for _ in range(3)] == [1, 1, 0]
    assert states().keys() == {"pending", "warming", "failed", "new"}
