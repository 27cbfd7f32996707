"""What is dropped at the age that is kept. A run's row, and so its summary in lists, never is."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from store.hot import hot
from store.models import Run, RunSource, WarmEntry


def expire(fetched_before: datetime, most: int) -> int:
    """Drops entries, source and hot copies of at most so many runs, longest unfetched first; returns how many it were.

    A run counts from its last fetch, not from its end, so that one that a replay brought back stays as long as others.
    Raises redis.RedisError when Redis is away: nothing has been dropped.
    """
    aged = Run.objects.filter(schema_version__isnull=False, fetched_at__lt=fetched_before)
    with transaction.atomic():
        ids = list(aged.order_by("fetched_at").values_list("pk", flat=True)[:most])
        # Only now locked, and looked at again: a warming that was under way may have been faster.
        runs = [run.pk for run in aged.select_for_update().filter(pk__in=ids).order_by("pk")]
        WarmEntry.objects.filter(run_id__in=runs).delete()
        RunSource.objects.filter(run_id__in=runs).delete()
        Run.objects.filter(pk__in=runs).update(schema_version=None)
        # Who reads one at this very moment may heat it again; then it goes after HOT_SECONDS.
        hot().forget(runs)
    return len(runs)
