"""The inbox: records every event and its state, from its arrival to a warm run.

A row goes pending → warming → done; after a transient error back to pending; or to failed. From ``due_at`` on, the
sweep may queue a row again: the queue in Redis may be lost at any time, the inbox may not. A pending row without
``due_at`` is held back: its tracking server is down or busy (``workers/servers/``).

Started and progressed events are *live*: the next fetch of their run settles them all, and so does its completed event.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, transaction
from django.db.models import F, IntegerField, Q, QuerySet, Value
from django.db.models.functions import Coalesce, Greatest
from django.utils import timezone

from store import clock
from store.models import InboxEvent, Run
from warmboard.contract.cloudevents import EventError, format_time
from warmboard.contract.events import EventType, RunEvent, RunStatus
from warmboard.contract.replay import REPLAY_REQUESTED, ReplayRequest
from warmboard.contract.subscription import SUBSCRIPTION_REQUESTED, SubscriptionRequest
from workers import counts
from workers.recording import seeks
from workers.recording.announced import announce
from workers.recording.behind import BEHIND
from workers.recording.text import cut, printable

State = InboxEvent.State
UNFINISHED = (State.PENDING, State.WARMING)
SETTLED = (State.DONE, State.UNREADABLE)
LIVE = (EventType.STARTED, EventType.PROGRESSED)
UNREADABLE_SOURCE = "unreadable"
REPLAY_SOURCE = "/warmboard/workers"
SUPERSEDED = "the run has completed since, and is warm"
COALESCED = "another event of the run covers it"
REQUESTS: dict[str, type[ReplayRequest] | type[SubscriptionRequest]] = {
    REPLAY_REQUESTED: ReplayRequest,
    SUBSCRIPTION_REQUESTED: SubscriptionRequest,
}
"""Messages that are about no single run, by their type."""


@dataclass(frozen=True)
class Message:
    """A Pub/Sub message as received."""

    message_id: str
    data: bytes
    attributes: dict[str, str]
    published_at: datetime

    def timed(self) -> Message:
        """The message with a ``ce-time``, which CloudEvents makes optional: by default the time of its publication."""
        return replace(self, attributes={"ce-time": format_time(self.published_at), **self.attributes})

    def numbered(self) -> Message:
        """The message with an ID that depends on its contents too: an emulator that has forgotten everything gives the
        same IDs again.
        """
        contents = hashlib.blake2b(self.data, digest_size=8)
        contents.update(repr(sorted(self.attributes.items())).encode(errors="replace"))
        return replace(self, message_id=f"{self.message_id}.{contents.hexdigest()}")


def dispatch_grace() -> timedelta:
    """How long a queued row is left to Celery before the sweep queues it again."""
    return timedelta(seconds=settings.DISPATCH_SECONDS)


def lease() -> timedelta:
    """How long a claim lasts without being renewed; after that the worker counts as dead."""
    return timedelta(seconds=settings.LEASE_SECONDS)


def read(message: Message) -> RunEvent | ReplayRequest | SubscriptionRequest:
    """Decode a message. Raises EventError if it is neither an event nor a request."""
    kind = REQUESTS.get(message.attributes.get("ce-type", ""), RunEvent)
    return kind.decode(message.data, message.timed().attributes)


def record(message: Message) -> InboxEvent | None:
    """Commit the message to the inbox; returns its row, or None if the event was there already and stays as it is.

    An event that a seek has brought again is reopened (``workers/recording/seeks.py``). A message that is not an event,
    or that the database will never accept, is kept as unreadable, with the reason.

    Raises DatabaseError if the database is down.
    """
    timed = message.timed()
    try:
        found = read(timed)
        # Reading takes no lock: of a thousand events that a seek brings, new ones don't wait long.
        known = InboxEvent.objects.defer("data").filter(source=found.source, event_id=found.id).first()
        if known:
            return seeks.reopen(known, message.published_at)
        return _record_event(found, timed) if isinstance(found, RunEvent) else _record_request(found, timed)
    except EventError as error:
        return record_unreadable(message.numbered(), str(error))
    except (OperationalError, InterfaceError):
        raise
    except DatabaseError as error:
        # If it is not the message's fault, this fails too.
        return record_unreadable(message.numbered(), f"the database rejects it: {error}")


def record_unreadable(message: Message, reason: str) -> InboxEvent | None:
    """Keep a message that is not an event, whole: Pub/Sub has none over 10 MB. Returns its row, or None if its message
    ID was there already.

    Raises DatabaseError if the database is down.
    """
    # With its own source: the ID in a broken message must not shadow a valid event.
    row, new = InboxEvent.objects.get_or_create(
        source=UNREADABLE_SOURCE,
        event_id=message.message_id,
        defaults={
            "attributes": _printable_attributes(message),
            "data": message.data,
            "published_at": message.published_at,
            "state": State.UNREADABLE,
            "reason": cut(reason),
        },
    )
    return row if new else None


def _record_event(event: RunEvent, message: Message) -> InboxEvent | None:
    with transaction.atomic():
        row = _record_new(event, message, run_id=event.run_id, type=event.type.value)
        if row:
            announce(event)
    return row


def _record_request(request: ReplayRequest | SubscriptionRequest, message: Message) -> InboxEvent | None:
    """``workers/replay/batches.py`` handles replay requests, ``workers/pubsub/requests.py`` the others."""
    return _record_new(request, message, type=message.attributes["ce-type"])


def _record_new(
    event: RunEvent | ReplayRequest | SubscriptionRequest, message: Message, **of: str
) -> InboxEvent | None:
    row, new = InboxEvent.objects.get_or_create(
        source=event.source,
        event_id=event.id,
        defaults={
            **of,
            "happened_at": event.time,
            "attributes": _printable_attributes(message),
            "data": message.data,
            "published_at": message.published_at,
            "state": State.PENDING,
            # The sweep of an older version would take a subscription request for an event.
            "due_at": None if of["type"] == SUBSCRIPTION_REQUESTED else timezone.now() + dispatch_grace(),
        },
    )
    return row if new else None


def claim(run_id: str, worker: str) -> list[InboxEvent]:
    """Claim every unclaimed, unfinished event of a run. One attempt then handles them all.

    An event that another worker holds stays with it until its lease expires; live events wait until that worker is done
    (``waits``). Live events that need no fetch are finished here: those of a run that has completed since and is warm,
    and those covered by another claimed event, which is the completed one, else the newest.
    """
    now = clock.now()
    with transaction.atomic():
        # Lock the run: one claim at a time.
        list(Run.objects.select_for_update().filter(pk=run_id).values_list("pk"))
        rows = InboxEvent.objects.select_for_update().filter(run_id=run_id, state__in=UNFINISHED)
        unfinished = list(rows.order_by("published_at", "pk"))
        held = [event for event in unfinished if event.state == State.WARMING and event.due_at and event.due_at > now]
        free = _without_superseded(run_id, [event for event in unfinished if event not in held])
        if held and all(event.type in LIVE for event in free):
            return []
        taken = _coalesced(free)
        claimed = InboxEvent.objects.filter(pk__in=[event.pk for event in taken])
        claimed.update(
            state=State.WARMING,
            attempts=F("attempts") + 1,
            claims=F("claims") + 1,
            due_at=now + lease(),
            claimed_by=worker,
            claimed_at=now,
        )
        return list(claimed.order_by("published_at", "pk"))


def waits(run_id: str) -> bool:
    """Whether the run has pending events that are not held back, and no worker holds one of its events."""
    events = InboxEvent.objects.filter(run_id=run_id)
    held = events.filter(state=State.WARMING, due_at__gt=clock.now())
    return events.filter(state=State.PENDING, due_at__isnull=False).exists() and not held.exists()


def unclaimed(now: datetime) -> Q:
    """Unfinished events that no worker holds: pending, or with an expired claim."""
    return Q(state=State.PENDING) | Q(state=State.WARMING, due_at__lte=now)


def release(claimant: str) -> list[str]:
    """Release what a process held that was killed: its attempts count. Returns the IDs of the runs."""
    return _release(Q(claimed_by=claimant))


def give_back(claimants: str) -> list[str]:
    """Release what processes hold whose names begin so, as they were asked to end: their attempts don't count. Returns
    the IDs of the runs.
    """
    return _release(Q(claimed_by__startswith=claimants), attempts=_one_less("attempts"), claimed_by="")


def renew(events: Sequence[InboxEvent]) -> bool:
    """Extend the lease of the events: their worker is still working on them. Returns whether any claim holds."""
    due_at = clock.now() + lease()
    return sum(_held_by(event).update(due_at=due_at) for event in events) > 0


def forfeit(event: InboxEvent) -> None:
    """A claim was lost though its worker lives: the attempt doesn't count."""
    lost = InboxEvent.objects.filter(pk=event.pk, state__in=UNFINISHED)
    # What was given back has its attempt already.
    lost.exclude(claimed_by="").update(attempts=_one_less("attempts"))


def finish(events: Sequence[InboxEvent]) -> None:
    """Mark the events as done: the run is warm. A replay does not change ``done_at``."""
    now = timezone.now()
    for event in _update(events, state=State.DONE, reason="", due_at=None, done_at=Coalesce("done_at", Value(now))):
        if event.done_at is None:
            counts.warmed(event.type, event.published_at)


def postpone(events: Sequence[InboxEvent], reason: str, seconds: float) -> None:
    """Mark the events as pending, with the reason: Celery retries in ``seconds``."""
    _update(events, state=State.PENDING, reason=reason, due_at=clock.now() + timedelta(seconds=seconds) + lease())


def wait(events: Sequence[InboxEvent], reason: str, seconds: float | None) -> None:
    """Mark the events as pending without counting the attempt. Without ``seconds`` they are held back
    (``workers/servers/held.py``).
    """
    due_at = None if seconds is None else clock.now() + timedelta(seconds=seconds) + lease()
    _update(events, state=State.PENDING, attempts=_one_less("attempts"), reason=reason, due_at=due_at)


def give_up(events: Sequence[InboxEvent], reason: str) -> None:
    """Mark the events as failed, with the reason; a replay makes them pending again."""
    _update(events, state=State.FAILED, reason=reason, due_at=None)


def is_due(now: datetime) -> bool:
    """Whether there are overdue events, which no worker holds."""
    return _overdue(now).exists()


def due(now: datetime) -> list[str]:
    """The IDs of runs with overdue events; each is returned once per grace period."""
    overdue = _overdue(now)
    runs = sorted(set(overdue.values_list("run_id", flat=True)))
    # Pending, also if an expired claim says warming: the next worker must not find them held.
    overdue.update(state=State.PENDING, due_at=now + dispatch_grace())
    return runs


def unfinished(source: str) -> int:
    """The number of pending and warming events of that source, without those that are held back."""
    return _unfinished().filter(source=source, due_at__isnull=False).count()


def pending() -> list[str]:
    """The IDs of all runs with a pending event that is not held back."""
    pending = _unfinished().filter(state=State.PENDING, due_at__isnull=False)
    return sorted(set(pending.values_list("run_id", flat=True)))


def reopen(run_id: str, grace: timedelta | None = None) -> InboxEvent | None:
    """Make events of the run pending, as if they had just arrived: its newest completed event, else its newest, and all
    failed ones, which the same warming settles. A run whose events are all deleted gets a new one, made from its row.

    ``grace`` is how long Celery has before the sweep queues the run again. Returns the newest event; None if the run is
    unknown.
    """
    with transaction.atomic():
        events = InboxEvent.objects.select_for_update().filter(run_id=run_id).order_by("published_at", "pk")
        # A live event might be finished without a fetch.
        newest = events.filter(type=EventType.COMPLETED).last() or events.last()
        if newest is None:
            run = Run.objects.filter(pk=run_id).first()
            return _record_replay(run) if run else None
        again = InboxEvent.objects.filter(Q(pk=newest.pk) | Q(run_id=run_id, state=State.FAILED))
        again.update(state=State.PENDING, reason="", attempts=0, due_at=timezone.now() + (grace or dispatch_grace()))
        newest.refresh_from_db()
        return newest


def delete_settled(received_before: datetime, most: int) -> int:
    """Delete at most ``most`` rows that are done or unreadable; returns the number of deleted rows."""
    settled = InboxEvent.objects.filter(state__in=SETTLED)
    aged = settled.filter(received_at__lt=received_before).values_list("pk", flat=True)[:most]
    # Check the state again: a replay may have just reopened one.
    return settled.filter(pk__in=list(aged)).delete()[0]


def _record_replay(run: Run) -> InboxEvent | None:
    """Record an event as the trainer would have published it, of the type that always causes a fetch."""
    now = timezone.now()
    event = RunEvent(
        type=EventType.COMPLETED,
        source=REPLAY_SOURCE,
        id=f"{run.run_id}.replayed.{int(now.timestamp() * 1000)}",
        time=run.announced_at,
        run_id=run.run_id,
        tracking_server=run.tracking_server,
        experiment_name=run.experiment_name,
        status=RunStatus(run.status),
        epochs=run.epochs,
        end_time=run.end_time,
    )
    data, attributes = event.encode()
    return _record_event(event, Message("", data, attributes, now))


def _without_superseded(run_id: str, events: list[InboxEvent]) -> list[InboxEvent]:
    """Finish live events that are no later than a completed event of their run that is done; returns the others."""
    live = [event for event in events if event.type in LIVE]
    if not live:
        return events
    completed = InboxEvent.objects.filter(run_id=run_id, type=EventType.COMPLETED, state=State.DONE)
    newest = completed.order_by("-happened_at").values_list("happened_at", flat=True).first()
    needless = [event for event in live if newest and event.happened_at and event.happened_at <= newest]
    return _without(events, needless, SUPERSEDED)


def _coalesced(events: list[InboxEvent]) -> list[InboxEvent]:
    """The events that need a fetch. The others, covered by one of those, are finished."""
    live = [event for event in events if event.type in LIVE]
    return _without(events, live if len(live) < len(events) else live[:-1], COALESCED)


def _without(events: list[InboxEvent], needless: Sequence[InboxEvent], reason: str) -> list[InboxEvent]:
    """Finish the needless ones, for this reason; returns the others."""
    ids = {event.pk for event in needless}
    InboxEvent.objects.filter(pk__in=ids).update(state=State.DONE, reason=reason, due_at=None)
    return [event for event in events if event.pk not in ids]


def _unfinished() -> QuerySet[InboxEvent]:
    """Unfinished events of runs."""
    return InboxEvent.objects.filter(state__in=UNFINISHED).exclude(type__in=REQUESTS)


def _overdue(now: datetime) -> QuerySet[InboxEvent]:
    return _unfinished().filter(due_at__lte=now).exclude(BEHIND)


def _update(events: Sequence[InboxEvent], **values: object) -> list[InboxEvent]:
    """Update only events whose claim still holds: others were reopened, or claimed by another worker. Returns them, as
    they were.
    """
    if "reason" in values:
        values["reason"] = cut(str(values["reason"]))
    updated = []
    for event in events:
        if _held_by(event).update(**values):
            updated.append(event)
        else:
            forfeit(event)
    return updated


def _held_by(event: InboxEvent) -> QuerySet[InboxEvent]:
    """The event's row, if it is still as it was claimed."""
    return InboxEvent.objects.filter(pk=event.pk, state=State.WARMING, claims=event.claims)


def _release(which: Q, **values: object) -> list[str]:
    held = _unfinished().filter(which, state=State.WARMING)
    runs = sorted(set(held.values_list("run_id", flat=True)))
    held.update(state=State.PENDING, due_at=clock.now(), **values)
    return runs


def _one_less(column: str) -> Greatest:
    return Greatest(F(column) - 1, Value(0), output_field=IntegerField())


def _printable_attributes(message: Message) -> dict[str, str]:
    # PostgreSQL stores no NUL in JSON.
    return {printable(key): printable(value) for key, value in message.attributes.items()}
