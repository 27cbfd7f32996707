"""Rebuilds: runs with entries in an outdated schema get new ones, the newest run first.

A run's row keeps the state. It is queued with the number of attempts so far, which only one task can raise: so a run is
never rebuilt twice at the same time. At most OUTSTANDING runs are queued at a time, which bounds the queue.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from django.db import transaction
from django.db.models import Q, QuerySet

from store import clock
from store.models import Run
from warmboard.contract.entries import SCHEMA_VERSION
from workers import inbox
from workers.servers import gate

OUTSTANDING = 100
QUEUED = timedelta(seconds=600)
"""How long a run counts as queued, before it is queued again."""
WAIT_SECONDS = 60.0
"""How often a run is tried again whose tracking server is down or busy."""
NO_RESULT = "the last attempt ended without a result, as if its worker was killed"


@dataclass(frozen=True)
class Due:
    """A run to be rebuilt. ``waited`` means that it was queued before and no worker took it."""

    run_id: str
    attempts: int
    waited: bool


def is_due(now: datetime, max_attempts: int) -> bool:
    """Whether there may be runs to be rebuilt, or to be given up: `due` looks closer."""
    left, used_up = Q(rebuild_attempts__lt=max_attempts), Q(rebuild_due_at__isnull=False)
    return _outdated().filter(left | used_up).exclude(rebuild_due_at__gt=now).exists()


def due(now: datetime, max_attempts: int) -> list[Due]:
    """The next runs to be rebuilt. Each is returned once per QUEUED, or after its claim expired."""
    with transaction.atomic():
        used_up = _outdated().filter(rebuild_attempts__gte=max_attempts, rebuild_due_at__lte=now)
        used_up.update(rebuild_due_at=None, rebuild_reason=NO_RESULT)
        outdated = _outdated().filter(rebuild_attempts__lt=max_attempts).exclude(_waits_for_server())
        free = OUTSTANDING - outdated.filter(rebuild_due_at__gt=now).count()
        if free <= 0:
            return []
        runs = list(outdated.exclude(rebuild_due_at__gt=now).order_by("-announced_at")[:free])
        outdated.filter(pk__in=[run.pk for run in runs]).update(rebuild_due_at=now + QUEUED)
    return [Due(run.pk, run.rebuild_attempts, _waited(run)) for run in runs]


@dataclass(frozen=True)
class Rebuild:
    """A run that this worker has claimed to rebuild it. ``attempts`` counts this one, too."""

    kind: ClassVar[str] = "rebuild"
    run_id: str
    attempts: int
    max_attempts: int

    def renew(self) -> bool:
        """Extend the lease. Returns whether the claim holds."""
        return bool(self._ours().update(rebuild_due_at=clock.now() + inbox.lease()))

    def forfeit(self) -> None:
        """The next claim counts its own attempt."""

    def finish(self) -> None:
        """Storing the entries has cleared the run's row already."""

    def postpone(self, reason: str, seconds: float) -> None:
        """Something transient failed; the sweep queues the run again after ``seconds``."""
        due_at = clock.now() + timedelta(seconds=seconds)
        self._record(rebuild_reason=reason, rebuild_due_at=due_at)

    def wait(self, reason: str, seconds: float | None) -> None:
        """Postpone without counting the attempt."""
        due_at = clock.now() + timedelta(seconds=WAIT_SECONDS if seconds is None else seconds)
        self._record(rebuild_reason=reason, rebuild_due_at=due_at, rebuild_attempts=self.attempts - 1)

    def give_up(self, reason: str) -> None:
        """The run is not queued again; a replay warms it from MLflow."""
        self._record(rebuild_reason=reason, rebuild_due_at=None, rebuild_attempts=self.max_attempts)

    def _record(self, **values: object) -> None:
        self._ours().update(**values)

    def _ours(self) -> QuerySet[Run]:
        """The run's row, if no other claim followed."""
        return _outdated().filter(pk=self.run_id, rebuild_attempts=self.attempts)


def claim(run_id: str, attempts: int, max_attempts: int) -> Rebuild | None:
    """Claim the run for one attempt; None if another worker was faster, or the run is up to date."""
    free = _outdated().filter(pk=run_id, rebuild_attempts=attempts)
    taken = free.update(rebuild_attempts=attempts + 1, rebuild_due_at=clock.now() + inbox.lease())
    return Rebuild(run_id, attempts + 1, max_attempts) if taken else None


def give_back(run_id: str, attempts: int) -> None:
    """Give back the attempt of a claim that has no outcome: the database was down, or its worker was asked to end. The
    sweep queues the run again. ``attempts`` is how many there were before.
    """
    claimed = _outdated().filter(pk=run_id, rebuild_attempts=attempts + 1)
    # Due at once, and not as one that has waited a lease.
    claimed.update(rebuild_attempts=attempts, rebuild_due_at=None)


def _waits_for_server() -> Q:
    """Runs that need MLflow, as their last attempt has shown, and whose tracking server is down: they must not use the
    places of others.
    """
    down = [name for name, is_down in gate.states().items() if is_down]
    return Q(tracking_server__in=down, rebuild_reason__startswith=gate.WAITS) if down else Q(pk__in=[])


def _waited(run: Run) -> bool:
    return run.rebuild_due_at is not None and run.rebuild_attempts == 0


def _outdated() -> QuerySet[Run]:
    """Runs in an older schema. Not those in a newer one: during an upgrade, old workers leave them alone."""
    return Run.objects.filter(schema_version__lt=SCHEMA_VERSION)
