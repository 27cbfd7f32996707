"""The sweep: queues unfinished work that no worker holds. It runs in threads of beat's process."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol, TypeVar

from celery.signals import beat_init, worker_ready
from django.db import DatabaseError, close_old_connections
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerError

from store import clock
from workers import counts, inbox
from workers.discover.backfill import Backfilling, backfills_of
from workers.discover.discovery import Discovery
from workers.heartbeat import touch
from workers.queue import (
    LATER,
    SOON,
    dispatch,
    dispatch_later,
    dispatch_rebuild,
    dispatch_turn,
    give_up_on_slow_broker,
    ping,
    waiting,
)
from workers.recording import behind
from workers.replay import batches
from workers.servers.watch import Watch
from workers.settings import settings
from workers.warm import rebuilds

log = logging.getLogger(__name__)
T = TypeVar("T")
WATCH_SECONDS = 1
"""How often held-back runs are let through, and earlier runs announced."""


def sweep() -> int:
    """Queue unfinished work that no worker holds: runs with overdue events (a queue was lost or a worker killed),
    replay requests, and runs to be rebuilt. Returns the number of runs with overdue events.

    Raises DatabaseError, or kombu's OperationalError; the next sweep tries again.
    """
    most = settings().warm_attempts
    runs = _not_queued(inbox, SOON)
    for run_id in runs:
        text = "run %s has an overdue event that no worker holds: queueing it again"
        log.warning(text, run_id, extra={"run_id": run_id})
        dispatch(run_id)
    for run_id in _not_queued(behind, LATER):
        dispatch_later(run_id)
    for turn in _due(batches.is_due, batches.due):
        log.warning("no worker holds replay request %d: starting it again", turn.request)
        dispatch_turn(turn)
    for rebuild in _due(lambda now: rebuilds.is_due(now, most), lambda now: rebuilds.due(now, most)):
        # A rebuild that has waited a whole lease must not starve behind events.
        dispatch_rebuild(rebuild.run_id, rebuild.attempts, SOON if rebuild.waited else LATER)
    return len(runs)


class Kept(Protocol):
    """Where events wait: the inbox, or those behind all others."""

    def is_due(self, now: datetime) -> bool: ...

    def due(self, now: datetime) -> list[str]: ...


def _not_queued(kept: Kept, priority: int) -> list[str]:
    """The IDs of runs with overdue events whose task was lost: of thousands that are queued, most are overdue before
    their turn, and a second task for each of them would delay what comes next.
    """
    runs = _due(kept.is_due, kept.due)
    queued = waiting(priority) if runs else ()
    return [run_id for run_id in runs if run_id not in queued]


def _due(is_due: Callable[[datetime], bool], due: Callable[[datetime], list[T]]) -> list[T]:
    """What is due, which counts as queued from now on. Redis first: while it is down, all of it stays due."""
    now = clock.now()
    if not is_due(now):
        return []
    ping()
    return due(now)


def _sweep_for_ever() -> None:
    seconds = settings().sweep_seconds
    while True:
        close_old_connections()
        try:
            sweep()
        except (DatabaseError, BrokerError) as error:
            counts.failed("database" if isinstance(error, DatabaseError) else "redis")
            log.error("the sweep failed, next one in %d s: %s", seconds, error)
        except Exception:
            # Nothing unforeseen may stop the thread.
            log.exception("the sweep failed, next one in %d s", seconds)
        else:
            touch(settings().beat_heartbeat)
        time.sleep(seconds)


def _discover_for_ever() -> None:
    """Look for unannounced runs at every interval. Returns at once if discovery is turned off."""
    seconds = settings().discover_seconds
    discovery = Discovery.of(settings(), dispatch_later)
    while seconds:
        close_old_connections()
        pause: float = seconds
        try:
            pause = discovery.turn().pause(seconds, timezone.now())
        except DatabaseError as error:
            log.error("the database is down, next look for runs in %d s: %s", seconds, error)
        except Exception:
            # An unforeseen answer of MLflow, or an unforeseen file, must not stop the thread.
            log.exception("looking for runs failed, next time in %d s", seconds)
        time.sleep(pause)


def _backfill_for_ever(backfill: Backfilling) -> None:
    """Announce the runs of a server that ended before anyone did. Returns when all are warm."""
    while not backfill.is_done:
        close_old_connections()
        pause = WATCH_SECONDS
        try:
            backfill.turn()
        except DatabaseError as error:
            pause = settings().sweep_seconds
            log.error("the database is down, earlier runs are announced later: %s", error)
        except Exception:
            # An unforeseen answer of MLflow must not stop the thread.
            pause = max(pause, settings().discover_seconds)
            log.exception("announcing earlier runs failed, next turn in %d s", pause)
        time.sleep(pause)


def _watch_for_ever() -> None:
    """Ask servers that are down, and let runs through that were held back."""
    watch = Watch(settings().tracking_servers, settings().recovery_runs_per_second, dispatch_later)
    while True:
        close_old_connections()
        pause = WATCH_SECONDS
        try:
            watch.turn()
        except (DatabaseError, BrokerError) as error:
            counts.failed("database" if isinstance(error, DatabaseError) else "redis")
            pause = settings().sweep_seconds
            log.error("held-back runs can't be let through, next turn in %d s: %s", pause, error)
        except Exception:
            pause = settings().sweep_seconds
            log.exception("held-back runs can't be let through, next turn in %d s", pause)
        time.sleep(pause)


@beat_init.connect
def _sweep_beside_beat(**_: Any) -> None:
    # In beat's process: a task would wait while all workers are busy with long fetches.
    give_up_on_slow_broker()
    threading.Thread(target=_sweep_for_ever, name="sweep", daemon=True).start()
    threading.Thread(target=_watch_for_ever, name="watch", daemon=True).start()
    # In its own thread: a slow MLflow must not delay the sweep of the inbox.
    threading.Thread(target=_discover_for_ever, name="discover", daemon=True).start()
    for backfill in backfills_of(settings(), dispatch_later):
        threading.Thread(target=_backfill_for_ever, args=[backfill], name="backfill", daemon=True).start()


@worker_ready.connect
def _take_up_unfinished(**_: Any) -> None:
    # Celery delivers a killed worker's tasks again only after the visibility timeout: too long for a waiting reader.
    queued = waiting(SOON) | waiting(LATER)
    later = behind.pending()
    for run_id in inbox.pending():
        if run_id not in queued:
            dispatch(run_id, priority=LATER if run_id in later else SOON)
