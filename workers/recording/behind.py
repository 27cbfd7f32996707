"""Events that wait behind all others: what the sweep has found, and what a seek has reopened. Their runs were not warm
before either, and there may be thousands.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q, QuerySet

from store.models import InboxEvent
from warmboard.contract.events import SWEEP_SOURCE

State = InboxEvent.State
PATIENCE = timedelta(minutes=10)
"""How long replayed work may wait behind other work before the sweep queues it again."""
BEHIND = Q(state=State.PENDING) & (Q(seek__isnull=False) | Q(source=SWEEP_SOURCE))


def is_due(now: datetime) -> bool:
    """Whether there are such events that are overdue."""
    return _overdue(now).exists()


def due(now: datetime) -> list[str]:
    """The IDs of runs with such an event. Each is returned once in ten minutes, or, if the sweep has found it, once per
    grace period: of those there are few at a time.
    """
    overdue = _overdue(now)
    runs = sorted(set(overdue.values_list("run_id", flat=True)))
    overdue.filter(seek__isnull=False).update(due_at=now + PATIENCE)
    overdue.update(due_at=now + timedelta(seconds=settings.DISPATCH_SECONDS))
    return runs


def pending() -> set[str]:
    """The IDs of runs with a pending event of this kind that is not held back."""
    return set(InboxEvent.objects.filter(BEHIND, due_at__isnull=False).values_list("run_id", flat=True))


def _overdue(now: datetime) -> QuerySet[InboxEvent]:
    return InboxEvent.objects.filter(BEHIND, due_at__lte=now)
