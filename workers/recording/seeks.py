"""Seeks, as the inbox keeps them: which settled events Pub/Sub delivers again because of one.

Such an event is reopened once for each seek. Any other second delivery stays a duplicate: of a message that was
published after the seek, or before its range, or that the seek has already brought back.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Q, QuerySet
from django.utils import timezone

from store.models import InboxEvent, Seek

State = InboxEvent.State
PATIENCE = timedelta(minutes=10)
"""How long replayed work may wait behind other work before the sweep queues it again."""


def reopen(row: InboxEvent, published_at: datetime) -> InboxEvent | None:
    """Reopen a settled event of a run if a seek has brought its message, published at that time; None if none has.

    Raises DatabaseError if the database is down.
    """
    covers = Q(since=None) | Q(since__lte=published_at)
    seek = Seek.objects.filter(covers, at__gt=max(published_at, row.received_at)).order_by("pk").last()
    if seek is None or not row.run_id:
        return None
    unchanged = Q(seek=None) | Q(seek__lt=seek.pk)
    again = InboxEvent.objects.filter(unchanged, pk=row.pk, state__in=(State.DONE, State.FAILED))
    if not again.update(state=State.PENDING, reason="", attempts=0, seek=seek.pk, due_at=timezone.now() + PATIENCE):
        return None
    row.state, row.seek = State.PENDING, seek.pk
    return row


def is_due(now: datetime) -> bool:
    """Whether there are reopened events that have waited for ten minutes."""
    return _overdue(now).exists()


def due(now: datetime) -> list[str]:
    """The IDs of runs with such an event; each is returned once in ten minutes."""
    overdue = _overdue(now)
    runs = sorted(set(overdue.values_list("run_id", flat=True)))
    overdue.update(due_at=now + PATIENCE)
    return runs


def newest() -> Seek | None:
    """The last seek; None if there was none."""
    return Seek.objects.order_by("pk").last()


def _overdue(now: datetime) -> QuerySet[InboxEvent]:
    return InboxEvent.objects.filter(state=State.PENDING, seek__isnull=False, due_at__lte=now)
