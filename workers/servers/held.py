"""Runs that are held back: their events are pending and never due, so no sweep queues them. The gate and the bulkhead
of their tracking server hold them back; the newest is let through first, since that is the one that people wait for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.db.models import Count, F, Max, QuerySet

from store import clock
from store.models import InboxEvent, Run
from workers import inbox
from workers.inbox import UNFINISHED, State

Owed = Sequence[tuple[int, int]]
"""Attempts to be given back: the row of an event and the number of its claim."""


def hold(run_id: str, reason: str) -> None:
    """Hold back all events of the run that no worker holds."""
    events = InboxEvent.objects.filter(inbox.unclaimed(clock.now()), run_id=run_id)
    events.update(state=State.PENDING, reason=reason, due_at=None)


def by_server() -> dict[str, int]:
    """Tracking server → the number of its runs that are held back. One query."""
    runs = Run.objects.filter(pk__in=_held().values("run_id")).order_by()
    return dict(runs.values_list("tracking_server").annotate(Count("pk")))


def let_through(server: str, most: int) -> list[str]:
    """The newest runs of the server that are held back, at most ``most``: they may be queued now. A run is returned
    once, until it is held back again; the sweep queues it again if its queue is lost.
    """
    ours = _held().filter(run_id__in=Run.objects.filter(tracking_server=server).values("pk"))
    newest = ours.values("run_id").annotate(newest=Max("received_at")).order_by("-newest", "run_id")
    found = [row["run_id"] for row in newest[:most]]
    if not found:
        return []
    due_at = clock.now() + inbox.dispatch_grace()
    return [run_id for run_id in found if _held().filter(run_id=run_id).update(due_at=due_at)]


def give_back(owed: Iterable[Sequence[int]]) -> None:
    """Give back the attempts of claims whose outcome could not be recorded, because the database was down. One whose
    event was claimed again since is lost.
    """
    for pk, claims in owed:
        event = InboxEvent.objects.filter(pk=pk, claims=claims, state__in=UNFINISHED, attempts__gt=0)
        event.update(state=State.PENDING, attempts=F("attempts") - 1)


def _held() -> QuerySet[InboxEvent]:
    return InboxEvent.objects.filter(state__in=UNFINISHED, due_at__isnull=True)
