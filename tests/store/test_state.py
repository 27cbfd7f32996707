"""What a viewer is told of a run that is not warm."""

import pytest

from store.models import InboxEvent
from store.state import EXPECT, run_state
from tests.store.samples import NOON

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
