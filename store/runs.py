"""The row of a run that no event has announced."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from store.models import Run


def announce_run(
    run_id: str, *, tracking_server: str, experiment_name: str, status: str, time: datetime | None = None
) -> bool:
    """Make the run's row where there is none, so that `store.warm.put` can store it.

    Returns False for a known run, which stays as it is. ``time`` is its place in lists: by default, now.
    """
    _, new = Run.objects.get_or_create(
        run_id=run_id,
        defaults={
            "tracking_server": tracking_server,
            "experiment_name": experiment_name,
            "status": status,
            "announced_at": time or timezone.now(),
        },
    )
    return new
