"""Retention: drop old runs' entries. A run's row, and with it its summary in lists, is never dropped."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from store.hot import hot
from store.models import Run, RunSource, WarmEntry


def expire(fetched_before: datetime, most: int) -> int:
    """Drop the entries, source and hot copies of runs last fetched before a time, at most ``most`` of them.

    The longest unfetched go first. Returns the number of runs. A run's age counts from its last fetch, not from its
    end, so a run that a replay brought back is kept as long as others. Raises redis.RedisError if Redis is down; then
    nothing is dropped.
    """
    aged = Run.objects.filter(schema_version__isnull=False, fetched_at__lt=fetched_before)
    with transaction.atomic():
        ids = list(aged.order_by("fetched_at").values_list("pk", flat=True)[:most])
        # Check the condition again under the lock: a warming in progress may have been faster.
        runs = [run.pk for run in aged.select_for_update().filter(pk__in=ids).order_by("pk")]
        WarmEntry.objects.filter(run_id__in=runs).delete()
        RunSource.objects.filter(run_id__in=runs).delete()
        Run.objects.filter(pk__in=runs).update(schema_version=None)
        # A concurrent reader may still heat a body again. That one expires after HOT_SECONDS.
        hot().forget(runs)
    return len(runs)


def have_all_rebuilt() -> int:
    """Have workers fetch every run that was warm again, as after an upgrade: the tables were restored without entries
    and sources. Returns the number of runs.
    """
    return Run.objects.filter(schema_version__isnull=False).update(
        schema_version=0, rebuild_attempts=0, rebuild_due_at=None, rebuild_reason=""
    )
