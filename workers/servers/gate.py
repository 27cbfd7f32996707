"""The gate of each tracking server: closed while the server is down, so that waiting costs no attempt.

The database remembers it, for all workers, over restarts and for hours. A server without a row is up. The first run
that could not be fetched closes the gate, unless the server answers a request about no run; then the run itself is to
blame. Beat asks a server that is down whether it is back (``watch.py``). Then its runs are let through at a bounded
rate, until none waits and the row is deleted.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from store import clock
from store.models import TrackingServerState

log = logging.getLogger(__name__)
LONGEST_PACE = 1.0
"""How many seconds a run waits in its process for its turn. One that would wait longer is held back."""
WAITS = "waits for tracking server "
"""How the reason begins of a run whose server is down."""
QUIET_SECONDS = 5.0
"""A server that is back counts as up when none of its runs was let through for this time."""
LONGEST_REASON = 2000


class HeldBackError(Exception):
    """No attempt now, and none lost: the run is let through when its server has room for it."""


def admit(server: str, per_second: int) -> float:
    """How many seconds to wait before a run of this server may be fetched: 0, unless the server has just come back.

    Raises HeldBackError if the server is down, or if too many of its runs are let through already; DatabaseError.
    """
    if not TrackingServerState.objects.filter(pk=server).exists():
        return 0.0
    with transaction.atomic():
        # By the database's clock: those of the workers' hosts may differ.
        rows = TrackingServerState.objects.select_for_update().annotate(now=Now())
        row = rows.filter(pk=server).first()
        if row is None:
            return 0.0
        if row.down_since:
            raise HeldBackError(down(row.name, row.down_since, row.reason))
        turn = max(row.next_at or row.now, row.now)
        wait = (turn - row.now).total_seconds()
        if wait > LONGEST_PACE:
            raise HeldBackError(f"tracking server {server!r} is back, and its runs are let through one after the other")
        TrackingServerState.objects.filter(pk=server).update(next_at=turn + timedelta(seconds=1 / per_second))
    return wait


def down(name: str, since: datetime, reason: str) -> str:
    """The sentence that is shown as a waiting run's reason."""
    return f"{WAITS}{name!r}, down since {since:%Y-%m-%d %H:%M:%S} UTC: {reason}"


def close(server: str, reason: str, rest: float = 0.0) -> str:
    """Remember that the server is down, and that it isn't to be asked for ``rest`` seconds. Returns the sentence for
    the runs that wait. Raises DatabaseError.
    """
    now, reason = timezone.now(), _bounded(reason)
    with transaction.atomic():
        row, new = TrackingServerState.objects.select_for_update().get_or_create(
            name=server, defaults={"down_since": now, "reason": reason}
        )
        if row.down_since is None:
            # It was back, and has gone again.
            row.down_since, row.reason, row.next_at, new = now, reason, None, True
            row.save()
    _let_rest(server, rest)
    if new:
        log.error("tracking server %r is down, its runs wait: %s", server, reason)
    return down(server, row.down_since or now, reason)


def reopen(server: str) -> None:
    """Let the runs of a server through that answers again."""
    was_down = TrackingServerState.objects.filter(pk=server, down_since__isnull=False)
    if was_down.update(down_since=None, next_at=Now()):
        log.warning("tracking server %r is back, its runs are let through", server)


def still_down(server: str, reason: str, rest: float = 0.0) -> None:
    """Remember the server's newest answer, that it was asked, and that it isn't to be asked for ``rest`` seconds."""
    now_down = TrackingServerState.objects.filter(pk=server, down_since__isnull=False)
    now_down.update(reason=_bounded(reason), asked_at=timezone.now())
    _let_rest(server, rest)


def resting() -> set[str]:
    """The servers that are down and are not to be asked yet, as their last answer wanted."""
    rows = TrackingServerState.objects.filter(down_since__isnull=False, next_at__gt=Now())
    return set(rows.values_list("name", flat=True))


def is_down(server: str) -> str | None:
    """The sentence about a server that is down; None if it is not."""
    row = TrackingServerState.objects.filter(pk=server, down_since__isnull=False).first()
    return down(row.name, row.down_since, row.reason) if row and row.down_since else None


def states() -> dict[str, bool]:
    """Name → whether it is down, of servers that are down or have just come back."""
    return {name: since is not None for name, since in TrackingServerState.objects.values_list("name", "down_since")}


def forget(servers: Collection[str]) -> None:
    """Forget servers that are configured no longer."""
    if servers:
        TrackingServerState.objects.filter(pk__in=servers).delete()


def settle(servers: Collection[str]) -> None:
    """Take servers for up that are back, with no run left that waits. Those that are queued still come one by one."""
    if servers:
        back = TrackingServerState.objects.filter(pk__in=servers, down_since__isnull=True)
        back.filter(next_at__lt=Now() - timedelta(seconds=QUIET_SECONDS)).delete()


def _let_rest(server: str, seconds: float) -> None:
    if seconds:
        until = clock.now() + timedelta(seconds=seconds)
        now_down = TrackingServerState.objects.filter(pk=server, down_since__isnull=False)
        now_down.update(next_at=until)


def _bounded(reason: str) -> str:
    # PostgreSQL stores no NUL.
    return reason.replace("\0", "\N{REPLACEMENT CHARACTER}")[:LONGEST_REASON]
