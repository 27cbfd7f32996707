"""The inbox: the one place where an event's way is written down, from its arrival to a warm run.

Rows go pending → warming → done, back to pending while something transient is in the way, or to failed. ``due_at`` says
from when on the sweep may hand a row out again: the queue in Redis may be lost at any time, the inbox may not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.management.color import no_style
from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from contract.events import EventError, RunEvent
from store.models import InboxEvent, QuickTest, Run

State = InboxEvent.State
UNFINISHED = (State.PENDING, State.WARMING)
DISPATCH_GRACE = timedelta(seconds=30)
"""How long a queued row is left to Celery before the sweep hands it out again."""
LEASE = timedelta(seconds=120)
"""How long a worker may be at a row without renewing it before the sweep takes the worker for dead."""
UNREADABLE_SOURCE = "unreadable"


@dataclass(frozen=True)
class Message:
    """A Pub/Sub message as it came."""

    message_id: str
    data: bytes
    attributes: dict[str, str]
    published_at: datetime


def record(message: Message) -> InboxEvent | None:
    """Commits the message to the inbox; returns its row, or None if the event was there already.

    A message that is no run event is kept as unreadable, with the reason.
    """
    try:
        event = RunEvent.decode(message.data, message.attributes)
    except EventError as error:
        return _record_unreadable(message, str(error))
    with transaction.atomic():
        row, new = InboxEvent.objects.get_or_create(
            source=event.source,
            event_id=event.id,
            defaults={
                "run_id": event.run_id,
                "type": event.type.value,
                "attributes": message.attributes,
                "data": message.data,
                "published_at": message.published_at,
                "state": State.PENDING,
                "due_at": timezone.now() + DISPATCH_GRACE,
            },
        )
        if new:
            _announce(event)
    return row if new else None


def claim(run_id: str) -> list[InboxEvent]:
    """Takes all unfinished events of a run for one attempt. Two events of one run become one warming."""
    with transaction.atomic():
        events = _unfinished().select_for_update().filter(run_id=run_id)
        ids = [event.pk for event in events]
        claimed = InboxEvent.objects.filter(pk__in=ids)
        claimed.update(state=State.WARMING, attempts=F("attempts") + 1, due_at=timezone.now() + LEASE)
        return list(claimed.order_by("published_at"))


def renew(events: Sequence[InboxEvent]) -> None:
    """A worker is still at it."""
    _update(events, due_at=timezone.now() + LEASE)


def finish(events: Sequence[InboxEvent]) -> None:
    """The run is warm."""
    _update(events, state=State.DONE, reason="", due_at=None, done_at=timezone.now())


def postpone(events: Sequence[InboxEvent], reason: str, seconds: float) -> None:
    """Something transient is in the way; Celery tries again in ``seconds``."""
    _update(events, state=State.PENDING, reason=reason, due_at=timezone.now() + timedelta(seconds=seconds) + LEASE)


def give_up(events: Sequence[InboxEvent], reason: str) -> None:
    """The events are kept as failed; a replay takes them up again."""
    _update(events, state=State.FAILED, reason=reason, due_at=None)


def due(now: datetime) -> list[str]:
    """Runs with unfinished events that nobody has been at for too long; each is handed out once per grace period."""
    overdue = _unfinished().filter(due_at__lte=now)
    runs = sorted(set(overdue.values_list("run_id", flat=True)))
    overdue.update(due_at=now + DISPATCH_GRACE)
    return runs


def unfinished() -> list[str]:
    """Every run with an unfinished event."""
    return sorted(set(_unfinished().values_list("run_id", flat=True)))


def reopen(run_id: str) -> InboxEvent | None:
    """Makes a run's newest event pending again, as if it had just arrived; None if the inbox has no event of it."""
    with transaction.atomic():
        newest = InboxEvent.objects.select_for_update().filter(run_id=run_id).order_by("published_at", "pk").last()
        if newest:
            newest.state, newest.reason, newest.attempts = State.PENDING, "", 0
            newest.due_at, newest.done_at = timezone.now() + DISPATCH_GRACE, None
            newest.save()
        return newest


def _unfinished() -> QuerySet[InboxEvent]:
    return InboxEvent.objects.filter(state__in=UNFINISHED)


def _update(events: Sequence[InboxEvent], **values: object) -> None:
    InboxEvent.objects.filter(pk__in=[event.pk for event in events]).update(**values)


def _record_unreadable(message: Message, reason: str) -> InboxEvent | None:
    # Under a source of its own: what a broken message says of itself must not shadow a sound event.
    row, new = InboxEvent.objects.get_or_create(
        source=UNREADABLE_SOURCE,
        event_id=message.message_id,
        defaults={
            # PostgreSQL keeps no NUL in JSON.
            "attributes": {_printable(key): _printable(value) for key, value in message.attributes.items()},
            "data": message.data,
            "published_at": message.published_at,
            "state": State.UNREADABLE,
            "reason": _printable(reason),
        },
    )
    return row if new else None


def _printable(text: str) -> str:
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _announce(event: RunEvent) -> None:
    """The run and its quick test exist from the first event on, so that there is a page to wait at."""
    run, new = Run.objects.select_for_update().get_or_create(
        run_id=event.run_id,
        defaults={
            "tracking_server": event.tracking_server,
            "experiment_name": event.experiment_name,
            "status": event.status.value,
            "end_time": event.end_time,
            "epochs": event.epochs,
            "announced_at": event.time,
        },
    )
    if not new and event.time > run.announced_at:
        run.announced_at, run.status, run.tracking_server = event.time, event.status.value, event.tracking_server
        run.save()
    _link_quick_test(event)


def _link_quick_test(event: RunEvent) -> None:
    pointer = {"mlflow_run_id": event.run_id, "mlflow_experiment_name": event.experiment_name}
    if event.quick_test_id is None:
        if not QuickTest.objects.filter(mlflow_run_id=event.run_id).exists():
            QuickTest.objects.create(**pointer)
        return
    _, new = QuickTest.objects.update_or_create(pk=event.quick_test_id, defaults=pointer)
    if new:
        # The row came with its own key, which the database's sequence knows nothing of.
        with connection.cursor() as cursor:
            for statement in connection.ops.sequence_reset_sql(no_style(), [QuickTest]):
                cursor.execute(statement)
