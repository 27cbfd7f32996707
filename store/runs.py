"""Rows of runs: of one that no event has announced, and of those deleted in MLflow."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db.models import QuerySet
from django.utils import timezone

from store.models import Run


def make_row(
    run_id: str, *, tracking_server: str, experiment_name: str, status: str, time: datetime | None = None
) -> None:
    """Create the run's row if it has none, so that `store.warm.put` can store it.

    A row that is there is not changed. ``time`` is the run's position in lists; the default is now.
    """
    row = Run(
        run_id=run_id,
        tracking_server=tracking_server,
        experiment_name=experiment_name,
        status=status,
        announced_at=time or timezone.now(),
    )
    # One statement, where `get_or_create` takes four.
    Run.objects.bulk_create([row], ignore_conflicts=True)


def mark_deleted(deleted: Collection[str], restored: Collection[str], now: datetime) -> tuple[list[str], list[str]]:
    """Note which runs are deleted in MLflow and which are there; returns those of which it is news. Runs without a row
    are left out. Two queries, and one for each kind of news.
    """
    gone = _ids(Run.objects.filter(pk__in=deleted, deleted_at=None))
    back = _ids(Run.objects.filter(pk__in=restored, deleted_at__isnull=False))
    for ids, moment in ((gone, now), (back, None)):
        if ids:
            Run.objects.filter(pk__in=ids).update(deleted_at=moment)
    return gone, back


def _ids(runs: QuerySet[Run]) -> list[str]:
    return list(runs.values_list("pk", flat=True))
