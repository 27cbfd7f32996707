"""What a viewer may expect of a run that is not warm, derived from its events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from store.models import InboxEvent

State = Literal["pending", "warming", "failed", "unknown"]

EXPECT: dict[State, str] = {
    "pending": "The run has been announced and waits for a worker.",
    "warming": "A worker is fetching the run's history; it takes seconds.",
    "failed": "Warming failed; the reason says why. An operator can replay the event.",
    "unknown": "No event has announced this run yet. It appears here when its training publishes one.",
}


@dataclass(frozen=True)
class RunState:
    """Why a run has no warm entries, in one word, one sentence, and the reason if something failed."""

    state: State
    reason: str = ""
    attempts: int = 0

    @property
    def expect(self) -> str:
        return EXPECT[self.state]


def run_state(run_id: str) -> RunState:
    """The state of one run, by its events. One query."""
    events = InboxEvent.objects.filter(run_id=run_id).order_by("-received_at")
    return state_of(events.only("state", "reason", "attempts"))


def state_of(events: Iterable[InboxEvent]) -> RunState:
    """The rule, for the events of one run, newest first: the newest unfinished one, else the newest failed one."""
    by_state: dict[str, InboxEvent] = {}
    for event in events:
        by_state.setdefault(event.state, event)
    for state in ("warming", "pending", "failed"):
        if found := by_state.get(state):
            return RunState(state, found.reason, found.attempts)
    return RunState("unknown")
