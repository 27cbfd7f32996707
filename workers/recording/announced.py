"""The run and the quick test that an event announces, in their tables."""

from __future__ import annotations

from django.core.management.color import no_style
from django.db import connection

from store.models import ENDED, InboxEvent, QuickTest, Run
from warmboard.contract.events import EventType, RunEvent


def announce(event: RunEvent) -> None:
    """Create the run, and the quick test that the event names, with the first event: readers have a page to wait on."""
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
    if not new:
        _update_run(run, event)
    _link_quick_test(event)


def _update_run(run: Run, event: RunEvent) -> None:
    """Update the run's status. A completed run stays completed, whatever comes late or from a clock that is ahead; only
    a start after its end resumes it, or the sweep that has seen it run in MLflow after its end.
    """
    if event.type == EventType.CHANGED:
        _reopen(run, event)
        return
    if event.type == EventType.COMPLETED:
        news = event.time > run.announced_at or not _started_after(event)
    else:
        news = event.time > run.announced_at and (event.type == EventType.STARTED or run.status not in ENDED)
    if news:
        run.announced_at = max(run.announced_at, event.time)
        run.status, run.end_time, run.tracking_server = event.status.value, event.end_time, event.tracking_server
        run.save(update_fields=["announced_at", "status", "end_time", "tracking_server"])


def _reopen(run: Run, event: RunEvent) -> None:
    """A change is no activity of the run: its place in lists stays."""
    if run.status in ENDED and event.status not in ENDED and event.time > (run.end_time or run.announced_at):
        run.status, run.end_time = event.status.value, None
        run.save(update_fields=["status", "end_time"])


def _started_after(event: RunEvent) -> bool:
    started = InboxEvent.objects.filter(run_id=event.run_id, type=EventType.STARTED, happened_at__gt=event.time)
    return started.exists()


def _link_quick_test(event: RunEvent) -> None:
    """Point the quick test at its newest run. The product numbers quick tests: only an ID in the event makes a row."""
    if event.quick_test_id is None:
        return
    test, new = QuickTest.objects.select_for_update().get_or_create(pk=event.quick_test_id)
    if test.mlflow_run_id == event.run_id:
        return
    if Run.objects.filter(pk=test.mlflow_run_id, announced_at__gt=event.time).exists():
        return
    test.mlflow_run_id, test.mlflow_experiment_name = event.run_id, event.experiment_name
    test.training_history_json = None
    test.save()
    if new:
        # The row came with its own key: tell the database's sequence.
        with connection.cursor() as cursor:
            for statement in connection.ops.sequence_reset_sql(no_style(), [QuickTest]):
                cursor.execute(statement)
