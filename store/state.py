"""The state of a run that is not warm, derived from its events and its row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Literal

from store.models import InboxEvent, Run, TrackingServerState

State = Literal["pending", "warming", "failed", "rebuilding", "expired", "unknown"]

EXPECT: dict[State, str] = {
    "pending": "The run has been announced and waits for a worker.",
    "warming": "A worker is fetching the run's history; it takes seconds.",
    "failed": "Warming failed; the reason says why. An operator can replay the event.",
    "rebuilding": "An older version of Warmboard warmed this run. Its charts are being rebuilt, newest runs first.",
    "expired": "The run's charts were deleted at the end of their retention; its summary is kept. A replay restores"
    " them: `python -m workers replay --run RUN_ID`.",
    "unknown": "No event has announced this run yet. It appears here when its training publishes one,"
    " or when the sweep finds it in MLflow after its end.",
}


@dataclass(frozen=True)
class Outage:
    """A tracking server that is down. ``reason`` is its last answer, or why there was none."""

    server: str
    since: datetime
    reason: str


class Outages:
    """The tracking servers that are down now. One query, when the first is asked for."""

    @cached_property
    def _by_server(self) -> dict[str, Outage]:
        rows = TrackingServerState.objects.filter(down_since__isnull=False)
        return {row.name: Outage(row.name, row.down_since, row.reason) for row in rows if row.down_since}

    def of(self, run: Run | None) -> Outage | None:
        return self._by_server.get(run.tracking_server) if run else None


@dataclass(frozen=True)
class RunState:
    """Why a run has no warm entries: a state, a sentence (``expect``), and the reason of a failure. A pending run may
    wait for its tracking server: ``waits_for``.
    """

    state: State
    reason: str = ""
    attempts: int = 0
    waits_for: Outage | None = None

    @property
    def expect(self) -> str:
        if outage := self.waits_for:
            since = f"{outage.since:%Y-%m-%d %H:%M} UTC"
            return (
                f"Waiting for tracking server {outage.server}, which has been down since {since}."
                " It is asked again and again, and the run is warmed when it answers."
            )
        return EXPECT[self.state]


def run_state(run_id: str) -> RunState:
    """Find the state of one run that is not warm. Two queries, and one for a pending run."""
    events = InboxEvent.objects.filter(run_id=run_id).order_by("-received_at")
    return state_of(events.only("state", "reason", "attempts"), Run.objects.filter(pk=run_id).first())


def state_of(events: Iterable[InboxEvent], run: Run | None = None, outages: Outages | None = None) -> RunState:
    """Derive the state of a run that is not warm from its row and its events, newest first.

    The newest unfinished event decides. Without one, a run that was warm and has not failed since is expired,
    rebuilding or failed to rebuild. Otherwise the newest failed event decides. For the states of several runs, give one
    ``outages``.
    """
    newest = ""
    by_state: dict[str, InboxEvent] = {}
    for event in events:
        newest = newest or event.state
        by_state.setdefault(event.state, event)
    if found := by_state.get("warming"):
        return RunState("warming", found.reason, found.attempts)
    if found := by_state.get("pending"):
        outage = (outages or Outages()).of(run)
        return RunState("pending", outage.reason if outage else found.reason, found.attempts, outage)
    if run and newest != InboxEvent.State.FAILED and (once_warm := _once_warm(run)):
        return once_warm
    if found := by_state.get("failed"):
        return RunState("failed", found.reason, found.attempts)
    return RunState("unknown")


def _once_warm(run: Run) -> RunState | None:
    if run.has_expired:
        return RunState("expired")
    if not run.is_outdated:
        return None
    for_good = run.rebuild_reason and run.rebuild_due_at is None
    return RunState("failed" if for_good else "rebuilding", run.rebuild_reason, run.rebuild_attempts)
