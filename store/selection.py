"""Select the runs of a replay: the same query for its preview and its execution."""

from __future__ import annotations

from django.db.models import QuerySet

from store.models import InboxEvent, Run
from warmboard.contract.replay import Selection


def selected(selection: Selection) -> QuerySet[Run]:
    """The runs that meet every criterion, by ID. One query."""
    runs = Run.objects.order_by("run_id")
    if selection.run_id:
        runs = runs.filter(run_id=selection.run_id)
    if selection.experiment_name:
        runs = runs.filter(experiment_name=selection.experiment_name)
    if selection.failed or selection.since or selection.until:
        runs = runs.filter(run_id__in=_events(selection).values("run_id"))
    return runs


def _events(selection: Selection) -> QuerySet[InboxEvent]:
    events = InboxEvent.objects.all()
    if selection.failed:
        events = events.filter(state=InboxEvent.State.FAILED)
    if selection.since:
        events = events.filter(received_at__gte=selection.since)
    if selection.until:
        events = events.filter(received_at__lt=selection.until)
    return events
