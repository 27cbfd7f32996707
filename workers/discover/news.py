"""What inbox and store know of runs, and whether a fact that the sweep has found is news to them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from django.db.models import Q

from store.models import ENDED, InboxEvent, Run
from warmboard.contract.events import EventType, RunEvent
from workers.inbox import UNFINISHED, UNREADABLE_SOURCE, State

TOLERANCE = timedelta(seconds=1)
"""So much an event's end of a run may be before MLflow's: some clients drop the milliseconds."""
SETTLING = timedelta(seconds=60)
"""A run that goes on and was fetched this lately is left to its own events; a file is this much later at most than the
event that was published with it."""
COLUMNS = ("run_id", "type", "state", "happened_at", "received_at")
NEVER = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class Fact:
    """What a look has found: an event that nobody may have told yet, or a file that says none, with the reason.

    ``key`` is unique to it. ``told_at`` is when the file that says it was written.
    """

    key: str
    event: RunEvent | None
    told_at: datetime | None = None
    data: bytes = b""
    attributes: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True)
class Known:
    """One run that the store has. ``fetched_at`` is when its last fetch began; ``events`` are those that tell of an
    end, and those that are unfinished or failed.
    """

    ended: bool
    fetched_at: datetime
    events: tuple[InboxEvent, ...]


def known(run_ids: Collection[str]) -> dict[str, Known]:
    """Those of the runs that the store has. Two queries, however many runs."""
    events: dict[str, list[InboxEvent]] = defaultdict(list)
    counts = Q(type=EventType.COMPLETED) | Q(state__in=[*UNFINISHED, State.FAILED])
    for event in InboxEvent.objects.filter(counts, run_id__in=run_ids).only(*COLUMNS):
        events[event.run_id].append(event)
    runs = Run.objects.filter(pk__in=run_ids).only("status", "fetched_at")
    return {run.pk: Known(run.status in ENDED, run.fetched_at or NEVER, tuple(events[run.pk])) for run in runs}


def news(facts: Sequence[Fact], now: datetime) -> list[Fact]:
    """Those that inbox and store know nothing of. Three queries, however many facts."""
    runs = known({fact.event.run_id for fact in facts if fact.event})
    kept = InboxEvent.objects.filter(source=UNREADABLE_SOURCE, event_id__in=[fact.key for fact in facts])
    unreadable = set(kept.values_list("event_id", flat=True))
    return [
        fact
        for fact in facts
        if fact.key not in unreadable and (fact.event is None or _is_news(fact, fact.event, runs, now))
    ]


def _is_news(fact: Fact, event: RunEvent, runs: Mapping[str, Known], now: datetime) -> bool:
    run = runs.get(event.run_id)
    if run is None:
        return True
    if event.type == EventType.COMPLETED:
        return not _end_is_known(event.time, fact.told_at, run)
    return event.type == EventType.PROGRESSED and _is_left_behind(event.time, run, now)


def _end_is_known(end: datetime, told_at: datetime | None, run: Known) -> bool:
    """A file that was written anew long after the event says that MLflow has more now than was fetched."""
    fetched = run.ended and run.fetched_at >= max(end, told_at or end)
    since = told_at - SETTLING if told_at else NEVER
    return fetched or any(
        event.happened_at
        and event.type == EventType.COMPLETED
        and event.happened_at >= end - TOLERANCE
        and event.received_at >= since
        for event in run.events
    )


def _is_left_behind(newest: datetime, run: Known, now: datetime) -> bool:
    """MLflow has values that the last fetch did not have, and nobody is about to fetch them. A fetch that has failed
    for good is not tried again before the run's end.
    """
    if run.fetched_at >= newest or run.fetched_at >= now - SETTLING:
        return False
    return not any(
        event.state in UNFINISHED or (event.state == State.FAILED and event.received_at > run.fetched_at)
        for event in run.events
    )
