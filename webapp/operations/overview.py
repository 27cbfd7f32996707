"""The inbox as operators see it. The number of queries is fixed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from django.db.models import BinaryField, Count, Exists, Max, Min, OuterRef, Q, QuerySet
from django.db.models.functions import Length, Substr
from django.utils import timezone

from store.models import Backfill, InboxEvent, Run, Snapshot, TrackingServerState
from warmboard.contract.replay import REPLAY_REQUESTED
from warmboard.contract.subscription import SUBSCRIPTION_REQUESTED
from webapp.operations.filter import ALL, ATTENTION, Filter

State = InboxEvent.State
AGES = {
    "1 min": timedelta(minutes=1),
    "10 min": timedelta(minutes=10),
    "1 h": timedelta(hours=1),
    "1 d": timedelta(days=1),
    "7 d": timedelta(days=7),
}
"""Upper limits of the age histogram's bars. A last bar has all older events."""
LATELY = timedelta(days=1)
"""Only events done in this time are counted: counting all would read the whole table."""
LATE = timedelta(seconds=60)
"""The sweep queues due events every two seconds. If one waits longer, the sweep is not running."""
IN_FLIGHT_SHOWN = 50
SNAPSHOTS_SHOWN = 50
BYTES_SHOWN = 80_000
"""Of a message, which may have ten million."""
REQUESTS = (REPLAY_REQUESTED, SUBSCRIPTION_REQUESTED)
OPEN = (State.PENDING, State.WARMING, State.FAILED, State.UNREADABLE)


@dataclass(frozen=True)
class StateCount:
    """The number of events in one state. ``ages`` counts them by age, youngest first: one number for each of AGES, and
    one for older events.
    """

    state: str
    total: int
    oldest: datetime | None
    ages: list[int]


@dataclass(frozen=True)
class Pulse:
    """The state of the programs that write the tables, as far as the tables show it."""

    received_at: datetime | None
    """When the subscriber stored the newest event."""
    claimed_at: datetime | None
    """When a worker last claimed an event, of the open and recent ones."""
    done_lately: int
    overdue: int
    """Unfinished events that the sweep should have queued; if not 0, it is not running."""


@dataclass(frozen=True)
class ServerDown:
    """A tracking server that is down, or back with runs that are let through one after the other. ``waiting`` is the
    number of its runs with a pending event.
    """

    row: TrackingServerState
    waiting: int

    @property
    def is_asked(self) -> bool:
        """Whether beat asks if it is back."""
        asked = self.row.asked_at or self.row.down_since
        return asked is None or asked > timezone.now() - LATE


@dataclass(frozen=True)
class Listed:
    """One event, and its run if it is known. ``data``: the beginning of its message, which has ``size`` bytes."""

    event: InboxEvent
    run: Run | None
    data: bytes
    size: int

    @classmethod
    def of(cls, event: Any, runs: Mapping[str, Run] | None = None) -> Self:
        """An event that `_shown` has read."""
        return cls(event, (runs or {}).get(event.run_id), bytes(event.beginning), event.size)


@dataclass(frozen=True)
class Overview:
    """All data of the page. ``before`` is the start of the next older page, None at the end."""

    counts: list[StateCount]
    pulse: Pulse
    servers: list[ServerDown]
    backfills: list[Backfill]
    in_flight: list[Listed]
    events: list[Listed]
    before: int | None
    snapshots: list[Snapshot]

    @classmethod
    def find(cls, wanted: Filter, hidden: frozenset[str]) -> Self:
        """Query the inbox. Events of hidden experiments are counted but not listed. Eight queries, and one if a
        tracking server is down."""
        now = timezone.now()
        counts = _counts(now)
        flying = InboxEvent.objects.filter(state=State.WARMING).order_by("claimed_at", "pk")
        in_flight = list(_shown(_visible(flying, hidden))[:IN_FLIGHT_SHOWN])
        found = list(_shown(_visible(_wanted(wanted), hidden))[: wanted.limit + 1])
        shown = found[: wanted.limit]
        runs = Run.objects.only("run_id", "name", "experiment_name", "status", "warmed_at", "schema_version")
        known = runs.in_bulk({event.run_id for event in (*in_flight, *shown)} - {""})
        return cls(
            counts,
            _pulse(now),
            _servers(),
            list(Backfill.objects.order_by("name")),
            [Listed.of(event, known) for event in in_flight],
            [Listed.of(event, known) for event in shown],
            shown[-1].pk if len(found) > len(shown) else None,
            list(Snapshot.objects.filter(expires_at__gt=now).order_by("-expires_at", "name")[:SNAPSHOTS_SHOWN]),
        )


def request_of(request_id: str) -> Listed | None:
    """The row of a request, once the subscriber has stored it. One query."""
    row = _shown(InboxEvent.objects.filter(type__in=REQUESTS, event_id=request_id)).first()
    return Listed.of(row) if row else None


def _shown(events: QuerySet[InboxEvent]) -> QuerySet[InboxEvent]:
    """The events with only the beginning of their messages."""
    beginning = Substr("data", 1, BYTES_SHOWN, output_field=BinaryField())
    return events.defer("data").annotate(beginning=beginning, size=Length("data"))


def _counts(now: datetime) -> list[StateCount]:
    edges = [now - age for age in AGES.values()]
    younger = {f"younger{i}": Count("pk", filter=Q(received_at__gt=edge)) for i, edge in enumerate(edges)}
    rows = InboxEvent.objects.filter(state__in=OPEN).values("state")
    found = rows.annotate(total=Count("pk"), oldest=Min("received_at"), **younger)
    by_state: dict[str, Any] = {row["state"]: row for row in found}
    return [_count(state, by_state.get(state)) for state in OPEN]


def _count(state: State, row: dict[str, Any] | None) -> StateCount:
    if row is None:
        return StateCount(state, 0, None, [0] * (len(AGES) + 1))
    up_to = [*(row[f"younger{i}"] for i in range(len(AGES))), row["total"]]
    ages = [up - low for up, low in zip(up_to, [0, *up_to[:-1]], strict=True)]
    return StateCount(state, row["total"], row["oldest"], ages)


def _pulse(now: datetime) -> Pulse:
    newest = {"received": Max("received_at"), "claimed": Max("claimed_at")}
    lately = InboxEvent.objects.filter(state=State.DONE, received_at__gt=now - LATELY)
    done = lately.aggregate(total=Count("pk"), **newest)
    late = Q(state__in=(State.PENDING, State.WARMING), due_at__lt=now - LATE)
    rest = InboxEvent.objects.filter(state__in=OPEN).aggregate(late=Count("pk", filter=late), **newest)
    received, claimed = (_later(done[what], rest[what]) for what in newest)
    return Pulse(received, claimed, done["total"], rest["late"])


def _servers() -> list[ServerDown]:
    rows = list(TrackingServerState.objects.order_by("name"))
    if not rows:
        return []
    pending = InboxEvent.objects.filter(state=State.PENDING)
    runs = Run.objects.filter(pk__in=pending.values("run_id"), tracking_server__in=[row.name for row in rows])
    waiting = dict(runs.order_by().values_list("tracking_server").annotate(Count("pk")))
    return [ServerDown(row, waiting.get(row.name, 0)) for row in rows]


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max(filter(None, (one, other)), default=None)


def _wanted(wanted: Filter) -> QuerySet[InboxEvent]:
    events = InboxEvent.objects.order_by("-pk")
    if wanted.state == ATTENTION:
        events = events.filter(state__in=(State.FAILED, State.UNREADABLE))
    elif wanted.state != ALL:
        events = events.filter(state=wanted.state)
    if wanted.experiment:
        events = events.filter(run_id__in=Run.objects.filter(experiment_name=wanted.experiment).values("run_id"))
    if text := wanted.text:
        events = events.filter(Q(run_id__icontains=text) | Q(event_id__icontains=text) | Q(reason__icontains=text))
    if wanted.before:
        events = events.filter(pk__lt=wanted.before)
    return events


def _visible(events: QuerySet[InboxEvent], hidden: frozenset[str]) -> QuerySet[InboxEvent]:
    """The events that are not about runs of these experiments. Requests, which may name one, are left out as
    well; unreadable messages, whose run is unknown, are not.
    """
    if not hidden:
        return events
    of_hidden = Run.objects.filter(pk=OuterRef("run_id"), experiment_name__in=sorted(hidden))
    return events.exclude(type__in=REQUESTS).exclude(Exists(of_hidden))
