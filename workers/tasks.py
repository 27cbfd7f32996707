"""The Celery application and its tasks: ``celery -A workers.tasks worker``; and the sweep, which runs beside beat."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import astuple
from datetime import timedelta
from typing import Any

from celery import Celery
from celery.schedules import crontab
from celery.signals import beat_init, worker_ready
from django.db import DatabaseError, OperationalError, close_old_connections
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerError

from workers.check import touch
from workers.errors import TransientError
from workers.settings import settings, setup_django

setup_django()

from store import retention  # noqa: E402  the tables are ready only now
from store.warm import HotCopyError  # noqa: E402
from workers import inbox  # noqa: E402
from workers.discover.discovery import Discovery  # noqa: E402
from workers.replay import batches as replay  # noqa: E402
from workers.warm import rebuilds  # noqa: E402
from workers.warm.attempt import Postponed, rebuild, warm  # noqa: E402

log = logging.getLogger(__name__)
SWEEP_SECONDS = 10
TASK_SECONDS = 540
BROKER_SECONDS = 3
LIVE_SECONDS = 1.0
"""So long a started or progressed event waits for others: a burst of them costs one fetch."""
SOON, LATER = 0, 9
"""Priorities: of waiting tasks those that are LATER are begun only when no other waits."""
BATCH = 500
"""So many rows at a time are dropped."""

app = Celery("warmboard", broker=settings().redis_url)
app.conf.update(
    # A task is taken off the queue when it is done, not when it is begun; the inbox makes repeating it harmless.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    task_time_limit=TASK_SECONDS,
    # Longer than any task may take: a task that outlives it would be handed out twice.
    broker_transport_options={"visibility_timeout": TASK_SECONDS + 60, "global_keyprefix": "warmboard:celery:"},
    broker_connection_retry_on_startup=True,
    task_ignore_result=True,
    # What Flower shows.
    worker_send_task_events=True,
    task_send_sent_event=True,
    # At night; by the clock, since beat may forget when it last ran.
    beat_schedule={
        "expire": {"task": "expire", "schedule": crontab(hour=3, minute=30), "options": {"priority": LATER}}
    },
)


@app.task(bind=True, name="warm_run", max_retries=None)
def warm_run(self: Any, run_id: str) -> str:
    """Warms one run. Only its ID travels through the broker."""
    try:
        outcome = warm(run_id, settings(), self.request.hostname)
    except Postponed as error:
        raise self.retry(exc=error, countdown=error.seconds) from error
    log.info("run %s %s", run_id, outcome)
    if inbox.waits(run_id):
        dispatch(run_id, LIVE_SECONDS)
    return outcome


@app.task(name="rebuild_run")
def rebuild_run(run_id: str, attempts: int) -> str:
    """Makes the entries of a run anew whose schema is of an older version. ``attempts`` is how many there were."""
    if not rebuilds.claim(run_id, attempts):
        return "nothing to do: somebody else is at it, or was"
    most = settings().warm_attempts
    try:
        outcome = rebuild(run_id, settings())
    except (TransientError, HotCopyError, OperationalError) as error:
        if attempts + 1 < most:
            rebuilds.postpone(run_id, str(error))
        else:
            rebuilds.give_up(run_id, f"gave up after {most} attempts: {error}", most)
        raise
    except Exception as error:
        rebuilds.give_up(run_id, f"{type(error).__name__}: {error}", most)
        raise
    log.info("run %s rebuilt: %s", run_id, outcome)
    return outcome


@app.task(bind=True, name="replay_runs")
def replay_runs(self: Any, *turn: Any) -> str:
    """Hands out one batch of a replay request, and queues the next one behind it. ``turn`` is a ``replay.Turn``."""
    following = replay.take(replay.Turn(*turn), dispatch_later, self.request.hostname)
    if following:
        dispatch_turn(following, LATER)
    return f"request {turn[0]}: {f'{following.handed} runs so far' if following else 'nothing more to do'}"


@app.task(name="expire")
def expire() -> str:
    """Drops what has reached the age that the settings keep."""
    kept, events_kept = timedelta(days=settings().retention_days), timedelta(days=settings().inbox_retention_days)
    now = timezone.now()
    runs = _in_batches(lambda: retention.expire(now - kept, BATCH)) if kept else 0
    events = _in_batches(lambda: inbox.delete_settled(now - events_kept, BATCH)) if events_kept else 0
    outcome = f"{runs} runs expired, {events} events deleted"
    log.info(outcome)
    return outcome


def sweep() -> int:
    """Hands out what nobody works at: runs whose events were never finished, because a queue was lost or a worker
    killed, requests for a replay, and runs to be rebuilt. Raises DatabaseError; BrokerError, and the next sweep makes
    up for it.
    """
    runs = inbox.due(timezone.now())
    for run_id in runs:
        log.warning("run %s has an unfinished event that nobody works at, handing it out again", run_id)
        dispatch(run_id)
    for turn in replay.due(timezone.now()):
        log.warning("nobody works at replay request %d, beginning it anew", turn.request)
        dispatch_turn(turn)
    for handed in rebuilds.hand_out(timezone.now(), settings().warm_attempts):
        # Those that nobody got to must not wait for ever behind events that never cease.
        priority = SOON if handed.waited else LATER
        rebuild_run.apply_async([handed.run_id, handed.attempts], retry=False, priority=priority)
    return len(runs)


def dispatch(run_id: str, countdown: float = 0, priority: int = SOON) -> None:
    """Queues ``warm_run``. Raises kombu's OperationalError when Redis is away; the sweep makes up for it."""
    warm_run.apply_async([run_id], retry=False, countdown=countdown, priority=priority)


def dispatch_later(run_id: str) -> None:
    """For what nobody waits for yet. Raises kombu's OperationalError when Redis is away."""
    dispatch(run_id, priority=LATER)


def dispatch_turn(turn: replay.Turn, priority: int = SOON) -> None:
    """Queues a batch of a replay request. Raises kombu's OperationalError when Redis is away."""
    replay_runs.apply_async(list(astuple(turn)), retry=False, priority=priority)


def give_up_on_slow_broker() -> None:
    """For programs that queue tasks and take none: a Redis that hangs holds them up for seconds, not for ever. Workers
    wait for tasks on the same connections.
    """
    app.conf.broker_transport_options |= {"socket_timeout": BROKER_SECONDS, "socket_connect_timeout": BROKER_SECONDS}


def _in_batches(drop: Callable[[], int]) -> int:
    dropped = 0
    while done := drop():
        dropped += done
    return dropped


def _sweep_for_ever() -> None:
    while True:
        close_old_connections()
        try:
            sweep()
        except (DatabaseError, BrokerError) as error:
            log.error("the sweep failed, again in %d s: %s", SWEEP_SECONDS, error)
        else:
            touch(settings().beat_heartbeat)
        time.sleep(SWEEP_SECONDS)


def _discover_for_ever() -> None:
    """Returns at once where it is turned off."""
    seconds = settings().discover_seconds
    discovery = Discovery.of(settings(), dispatch_later)
    while seconds:
        close_old_connections()
        try:
            discovery.turn()
        except DatabaseError as error:
            log.error("the database is away, runs are looked for again in %d s: %s", seconds, error)
        except Exception:
            # Whatever an MLflow or a file may hold that nobody thought of: the next turn may do without.
            log.exception("looking for runs failed, again in %d s", seconds)
        time.sleep(seconds)


@beat_init.connect
def _sweep_beside_beat(**_: Any) -> None:
    # In beat's own process: as a task it would wait while every worker is at a long fetch.
    give_up_on_slow_broker()
    threading.Thread(target=_sweep_for_ever, name="sweep", daemon=True).start()
    # Apart: an MLflow that is slow to answer must not hold up the inbox.
    threading.Thread(target=_discover_for_ever, name="discover", daemon=True).start()


@worker_ready.connect
def _take_up_unfinished(sender: Any, **_: Any) -> None:
    # Celery gives a killed worker's tasks back only after the visibility timeout: too long for a viewer who waits.
    inbox.release(sender.hostname)
    for run_id in inbox.pending():
        dispatch(run_id)
