"""Events and counts as the page shows them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from store.models import InboxEvent
from warmboard.contract.cloudevents import format_time
from webapp.operations import api
from webapp.operations.overview import AGES, Listed, StateCount
from webapp.run.words import ago

WORDS = {
    "pending": "waits for a worker",
    "warming": "in progress",
    "failed": "given up",
    "unreadable": "not a valid event",
}
KINDS = {
    "warmboard.run.started.v1": "started",
    "warmboard.run.progressed.v1": "progressed",
    "warmboard.run.completed.v1": "completed",
    "warmboard.run.changed.v1": "changed",
    "warmboard.replay.requested.v1": "replay requested",
    "warmboard.subscription.requested.v1": "Pub/Sub",
    "": "message",
}
STEP, BAR, HEIGHT = 30, 24, 18
"""Sizes of the age histogram, in pixels."""


@dataclass(frozen=True)
class Bar:
    """One bar and its number."""

    count: int
    label: str
    x: int
    y: int
    height: int

    @property
    def middle(self) -> int:
        return self.x + BAR // 2


@dataclass(frozen=True)
class Bars:
    """One state with the age histogram of its events."""

    state: str
    words: str
    total: int
    oldest: datetime | None
    ago: str
    bars: list[Bar]

    @classmethod
    def of(cls, count: StateCount, now: datetime) -> Self:
        labels = [*(f"under {age}" for age in AGES), "older"]
        most = max(count.ages)
        bars = []
        for i, (number, label) in enumerate(zip(count.ages, labels, strict=True)):
            height = max(2, round(HEIGHT * number / most)) if number else 1
            bars.append(Bar(number, label, i * STEP, 12 + HEIGHT - height, height))
        oldest = ago(count.oldest, now) if count.oldest else ""
        return cls(count.state, WORDS[count.state], count.total, count.oldest, oldest, bars)

    @property
    def sentence(self) -> str:
        """The histogram in words, for screen readers."""
        return ", ".join(f"{bar.label}: {bar.count}" for bar in self.bars)


@dataclass(frozen=True)
class Row:
    """One event."""

    event: InboxEvent
    payload: str
    kind: str
    title: str
    experiment: str
    ago: str
    claimed_ago: str

    @classmethod
    def of(cls, listed: Listed, now: datetime) -> Self:
        event, run = listed.event, listed.run
        request = api.request_in(listed)
        asked = f"{request}, requested by {request.requested_by}" if request else ""
        return cls(
            event=event,
            payload=api.payload(listed.data, listed.size),
            kind=KINDS.get(event.type, event.type),
            title=asked or (str(run) if run else event.run_id or event.event_id),
            experiment=run.experiment_name if run else "",
            ago=ago(event.received_at, now),
            claimed_ago=ago(event.claimed_at, now) if event.claimed_at else "",
        )

    @classmethod
    def of_request(cls, listed: Listed | None, now: datetime) -> Self | None:
        return cls.of(listed, now) if listed else None

    @property
    def is_problem(self) -> bool:
        return self.event.state in (InboxEvent.State.FAILED, InboxEvent.State.UNREADABLE)

    @property
    def facts(self) -> dict[str, str]:
        """The row's other values that are set."""
        event = self.event
        moments = {
            "happened": event.happened_at,
            "published": event.published_at,
            "received": event.received_at,
            "claimed": event.claimed_at,
            "retry due": event.due_at,
            "first warm": event.done_at,
        }
        told = {name: format_time(moment) for name, moment in moments.items() if moment}
        worker = {"worker": event.claimed_by} if event.claimed_by else {}
        return {"row": str(event.pk), "source": event.source, "event ID": event.event_id, **told, **worker}
