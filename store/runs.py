"""Create the row of a run that no event has announced."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from store.models import Run


def announce_run(
    run_id: str, *, tracking_server: str, experiment_name: str, status: str, time: datetime | None = None
) -> bool:
    """Create the run's row if it has none, so that `store.warm.put` can store it.

    Returns False for a known run, which is not changed. ``time`` is its position in lists; the default is now.
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
