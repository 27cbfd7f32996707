"""The sweep: finds unfinished work that no worker holds, and queues it. It runs in threads of beat's process."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from celery.signals import beat_init, worker_ready
from django.db import DatabaseError, close_old_connections
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerError

from workers import inbox
from workers.discover.discovery import Discovery
from workers.heartbeat import touch
from workers.queue import LATER, SOON, dispatch, dispatch_later, dispatch_rebuild, dispatch_turn, give_up_on_slow_broker
from workers.replay import batches
from workers.settings import settings
from workers.warm import rebuilds

log = logging.getLogger(__name__)


def sweep() -> int:
    """Queue unfinished work that no worker holds: runs with unfinished events (a queue was lost or a worker killed),
    requests for a replay, and runs to be rebuilt. Returns the number of runs with unfinished events.

    Raises DatabaseError, or kombu's OperationalError; the next sweep makes up for it.
    """
    runs = inbox.due(timezone.now())
    for run_id in runs:
        log.warning("run %s has an unfinished event that no worker holds, queueing it again", run_id)
        dispatch(run_id)
    for turn in batches.due(timezone.now()):
        log.warning("no worker holds replay request %d, starting it again", turn.request)
        dispatch_turn(turn)
    for rebuild in rebuilds.due(timezone.now(), settings().warm_attempts):
        # A rebuild that has waited a whole lease must not wait for ever behind events that never cease.
        dispatch_rebuild(rebuild.run_id, rebuild.attempts, SOON if rebuild.waited else LATER)
    return len(runs)


def _sweep_for_ever() -> None:
    seconds = settings().sweep_seconds
    while True:
        close_old_connections()
        try:
            sweep()
        except (DatabaseError, BrokerError) as error:
            log.error("the sweep failed, again in %d s: %s", seconds, error)
        else:
            touch(settings().beat_heartbeat)
        time.sleep(seconds)


def _discover_for_ever() -> None:
    """Return at once where discovery is turned off."""
    seconds = settings().discover_seconds
    discovery = Discovery.of(settings(), dispatch_later)
    while seconds:
        close_old_connections()
        try:
            discovery.turn()
        except DatabaseError as error:
            log.error("the database is down, looking for runs again in %d s: %s", seconds, error)
        except Exception:
            # Whatever an unexpected MLflow or file holds: the next turn may do without it.
            log.exception("looking for runs failed, again in %d s", seconds)
        time.sleep(seconds)


@beat_init.connect
def _sweep_beside_beat(**_: Any) -> None:
    # In beat's own process: as a task it would wait while every worker is busy with a long fetch.
    give_up_on_slow_broker()
    threading.Thread(target=_sweep_for_ever, name="sweep", daemon=True).start()
    # In a thread of its own: a slow MLflow must not hold up the inbox.
    threading.Thread(target=_discover_for_ever, name="discover", daemon=True).start()


@worker_ready.connect
def _take_up_unfinished(sender: Any, **_: Any) -> None:
    # Celery gives a killed worker's tasks back only after the visibility timeout: too long for a viewer who waits.
    inbox.release(sender.hostname)
    for run_id in inbox.pending():
        dispatch(run_id)
