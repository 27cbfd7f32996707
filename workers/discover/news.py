"""Decides which facts are new: compares the sweep's findings with the inbox and the store.

A run that was fetched after its end is news again if MLflow describes it in another way than at that fetch, or if that
was more than a day ago: points logged late at earlier steps show in no description.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from django.db.models import Q

from store import clock
from store.models import ENDED, InboxEvent, Run
from warmboard.contract.events import EventType, RunEvent
from workers.inbox import UNFINISHED, UNREADABLE_SOURCE, State

TOLERANCE = timedelta(seconds=1)
"""Tolerance between an event's end time and MLflow's; some clients truncate milliseconds."""
SETTLING = timedelta(seconds=60)
"""A run in progress that was fetched more recently than this is left to its own events. A file is written at most this
long after the event that was published with it."""
WHOLE_FETCH = timedelta(days=1)
"""A run that has ended is fetched again after this long, as long as the sweep looks at it."""
COLUMNS = ("run_id", "event_id", "type", "state", "happened_at", "received_at")
NEVER = datetime.fromtimestamp(0, UTC)
LONG_AGO = NEVER + timedelta(seconds=1)


@dataclass(frozen=True)
class Fact:
    """A finding: an event, which may be known already, or unreadable data with the reason.

    ``key`` identifies it. ``told_at`` is the time at which its file was written; None for facts from MLflow. ``digest``
    is of the run as MLflow describes it (``workers/history/digest.py``), ``newest`` the time of its newest value, which
    is None unless it is in progress; both only in facts that a run has changed. A ``deleted`` run is never news. Until
    ``settles_at`` the trainer's own event may still come.
    """

    key: str
    event: RunEvent | None
    told_at: datetime | None = None
    data: bytes = b""
    attributes: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""
    digest: str = ""
    newest: datetime | None = None
    deleted: bool = False
    settles_at: datetime = NEVER


@dataclass(frozen=True)
class Known:
    """A run in the store. ``fetched_at`` is the start of its last fetch, ``digest`` is of what MLflow said then.
    ``events`` are its completed and changed events, and those that are unfinished or failed.
    """

    ended: bool
    fetched_at: datetime
    digest: str
    events: tuple[InboxEvent, ...]


def known(run_ids: Collection[str]) -> dict[str, Known]:
    """Run ID → run, for the runs that the store has. Two queries for any number of runs."""
    events: dict[str, list[InboxEvent]] = defaultdict(list)
    counts = Q(type__in=(EventType.COMPLETED, EventType.CHANGED)) | Q(state__in=[*UNFINISHED, State.FAILED])
    for event in InboxEvent.objects.filter(counts, run_id__in=run_ids).only(*COLUMNS):
        events[event.run_id].append(event)
    runs, now = Run.objects.filter(pk__in=run_ids).only("status", "fetched_at", "digest"), clock.now()
    return {
        run.pk: Known(run.status in ENDED, _fetched_at(run, now), run.digest, tuple(events[run.pk])) for run in runs
    }


def _fetched_at(run: Run, now: datetime) -> datetime:
    """When the run was fetched. A time that lies ahead is of a wrong clock: the run must be fetched again."""
    if run.fetched_at is None:
        return NEVER
    return run.fetched_at if run.fetched_at <= now else LONG_AGO


def news(facts: Sequence[Fact], now: datetime) -> list[Fact]:
    """The facts that are neither in the inbox nor in the store. Three queries for any number of facts."""
    runs = known({fact.event.run_id for fact in facts if fact.event})
    kept = InboxEvent.objects.filter(source=UNREADABLE_SOURCE, event_id__in=[fact.key for fact in facts])
    unreadable = set(kept.values_list("event_id", flat=True))
    there = [fact for fact in facts if not fact.deleted and fact.key not in unreadable]
    found = [fact for fact in there if fact.event is None or _is_news(fact, fact.event, runs, now)]
    # The fetch at a run's end brings its changes too.
    ended = {fact.event.run_id for fact in found if fact.event and not fact.digest}
    return [fact for fact in found if not (fact.digest and fact.event and fact.event.run_id in ended)]


def _is_news(fact: Fact, event: RunEvent, runs: Mapping[str, Known], now: datetime) -> bool:
    run = runs.get(event.run_id)
    if event.type == EventType.CHANGED:
        return run is not None and _has_changed(fact, run, now)
    if run is None:
        return True
    if event.type == EventType.COMPLETED:
        return not _end_is_known(event.time, fact.told_at, run)
    return event.type == EventType.PROGRESSED and _is_left_behind(event.time, run, now)


def _end_is_known(end: datetime, told_at: datetime | None, run: Known) -> bool:
    """Whether an event or a fetch covers the end. A file written again long after the event means that MLflow has more
    data now than was fetched.
    """
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
    """Whether MLflow has values that were not fetched, and no event will fetch them. A fetch that has failed for good
    is not retried before the run's end.
    """
    if run.fetched_at >= newest or run.fetched_at >= now - SETTLING:
        return False
    return not any(
        event.state in UNFINISHED or (event.state == State.FAILED and event.received_at > run.fetched_at)
        for event in run.events
    )


def _has_changed(fact: Fact, run: Known, now: datetime) -> bool:
    """Whether a run that was fetched is described in another way since, or must be fetched whole again."""
    if run.fetched_at == NEVER or run.fetched_at >= now or any(event.state in UNFINISHED for event in run.events):
        return False
    changes = [event for event in run.events if event.type == EventType.CHANGED]
    last = max(changes, key=lambda event: event.received_at, default=None)
    if last and last.received_at > now - WHOLE_FETCH and fact.digest in last.event_id.split("."):
        # The fetch that followed has failed, or came to another digest. So would the next.
        return False
    if not run.ended and fact.newest and fact.newest > run.fetched_at - SETTLING:
        # It goes on: its values tell when it must be fetched.
        return False
    # An older version has kept no digest.
    differs = run.digest not in ("", fact.digest)
    return differs or (run.ended and run.fetched_at < now - WHOLE_FETCH)
