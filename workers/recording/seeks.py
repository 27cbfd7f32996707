"""Seeks, as the inbox keeps them: which settled events Pub/Sub delivers again because of one.

Such an event is reopened once for each seek. Any other second delivery stays a duplicate: of a message that was
published after the seek, or before its range, or that the seek has already brought back.
"""

from __future__ import annotations

from datetime import datetime

from django.db.models import Q
from django.utils import timezone

from store.models import InboxEvent, Seek
from workers.recording.behind import PATIENCE

State = InboxEvent.State


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


def newest() -> Seek | None:
    """The last seek; None if there was none."""
    return Seek.objects.order_by("pk").last()
