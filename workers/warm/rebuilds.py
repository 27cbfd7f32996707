"""Runs whose entries an older Warmboard has made, in a schema that nobody reads any more: made anew, the newest first.

A run's own row keeps how far that is. It is handed out with the number of attempts so far, which only one task can
raise: so no run is rebuilt twice at once. At most OUTSTANDING are handed out at a time, which bounds the queue.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from store.models import Run
from warmboard.contract.entries import SCHEMA_VERSION

OUTSTANDING = 100
LEASE = timedelta(seconds=600)
"""How long a run stays handed out; longer than any task may take."""
RETRY = timedelta(seconds=60)
NO_RESULT = "the last attempt ended without a result, as if its worker was killed"


@dataclass(frozen=True)
class Handed:
    """A run to be rebuilt. ``waited`` means that it was handed out before and nobody got to it."""

    run_id: str
    attempts: int
    waited: bool


def hand_out(now: datetime, most_attempts: int) -> list[Handed]:
    """The next runs to be rebuilt, each for LEASE."""
    with transaction.atomic():
        used_up = _outdated().filter(rebuild_attempts__gte=most_attempts, rebuild_due_at__lte=now)
        used_up.update(rebuild_due_at=None, rebuild_reason=NO_RESULT)
        outdated = _outdated().filter(rebuild_attempts__lt=most_attempts)
        free = OUTSTANDING - outdated.filter(rebuild_due_at__gt=now).count()
        if free <= 0:
            return []
        runs = list(outdated.exclude(rebuild_due_at__gt=now).order_by("-announced_at")[:free])
        outdated.filter(pk__in=[run.pk for run in runs]).update(rebuild_due_at=now + LEASE)
    return [Handed(run.pk, run.rebuild_attempts, _waited(run)) for run in runs]


def claim(run_id: str, attempts: int) -> bool:
    """Takes the run for one attempt. False when somebody was faster, or nothing is to be done any more."""
    taken = _outdated().filter(pk=run_id, rebuild_attempts=attempts)
    return bool(taken.update(rebuild_attempts=attempts + 1, rebuild_due_at=timezone.now() + LEASE))


def postpone(run_id: str, reason: str) -> None:
    """Something transient is in the way; the sweep hands the run out again."""
    _outdated().filter(pk=run_id).update(rebuild_reason=reason, rebuild_due_at=timezone.now() + RETRY)


def give_up(run_id: str, reason: str, most_attempts: int) -> None:
    """The run is not handed out any more; a replay warms it from MLflow."""
    _outdated().filter(pk=run_id).update(rebuild_reason=reason, rebuild_attempts=most_attempts, rebuild_due_at=None)


def _waited(run: Run) -> bool:
    return run.rebuild_due_at is not None and run.rebuild_attempts == 0


def _outdated() -> QuerySet[Run]:
    """Not those of a newer schema: while old and new workers run side by side, the old ones leave them alone."""
    return Run.objects.filter(schema_version__lt=SCHEMA_VERSION)
