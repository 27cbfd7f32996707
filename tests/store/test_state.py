"""The state of a run that is not warm."""

import pytest
from django.utils import timezone

from store.models import InboxEvent, Run, TrackingServerState
from store.state import EXPECT, run_state
from tests.store.samples import NOON, announce
from warmboard.contract.entries import SCHEMA_VERSION

State = InboxEvent.State


def receive(state: str, reason: str = "") -> None:
    number = InboxEvent.objects.count()
    InboxEvent.objects.create(
        source="s", event_id=str(number), run_id="run1", attributes={}, data=b"", published_at=NOON, state=state,
        reason=reason,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([], "unknown"),
        ([State.PENDING], "pending"),
        ([State.WARMING], "warming"),
        ([State.FAILED], "failed"),
        ([State.FAILED, State.PENDING], "pending"),
        ([State.PENDING, State.WARMING], "warming"),
        ([State.DONE], "unknown"),
    ],
)
def test_the_state_is_that_of_the_events(states: list[str], expected: str) -> None:
    for state in states:
        receive(state, reason=f"because {state}")
    found = run_state("run1")
    assert found.state == expected
    assert found.expect == EXPECT[found.state]
    assert found.reason == (f"because {expected}" if expected != "unknown" else "")


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([], "expired"),
        ([State.DONE], "expired"),
        ([State.FAILED, State.DONE], "expired"),
        ([State.DONE, State.PENDING], "pending"),
        ([State.DONE, State.WARMING], "warming"),
        ([State.DONE, State.FAILED], "failed"),
    ],
)
def test_a_run_that_was_warm_has_expired_unless_its_events_say_otherwise(states: list[str], expected: str) -> None:
    announce()
    Run.objects.update(warmed_at=NOON, schema_version=None)
    for state in states:
        receive(state)
    assert run_state("run1").state == expected


def test_a_run_of_an_older_schema_is_rebuilding_until_that_fails_for_good() -> None:
    announce()
    Run.objects.update(warmed_at=NOON, schema_version=SCHEMA_VERSION - 1)
    receive(State.DONE)
    assert run_state("run1").state == "rebuilding"
    Run.objects.update(rebuild_reason="MLflow is down", rebuild_due_at=timezone.now())
    assert (run_state("run1").state, run_state("run1").reason) == ("rebuilding", "MLflow is down")
    Run.objects.update(rebuild_due_at=None)
    assert (run_state("run1").state, run_state("run1").reason) == ("failed", "MLflow is down")


def test_a_pending_run_whose_server_is_down_waits_for_it() -> None:
    announce()
    TrackingServerState.objects.create(name="default", down_since=NOON, reason="connection refused")
    receive(State.DONE)
    assert run_state("run1").waits_for is None
    receive(State.PENDING, "an earlier attempt")
    found = run_state("run1")
    assert (found.state, found.reason) == ("pending", "connection refused")
    assert found.expect.startswith(
        "Waiting for tracking server default, which has been down since 2026-01-02 12:00 UTC."
    )
    TrackingServerState.objects.update(down_since=None)
    assert (run_state("run1").waits_for, run_state("run1").reason) == (None, "an earlier attempt")
