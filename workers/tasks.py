"""The tasks that Celery runs. `workers.queue` queues them by name."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from celery.signals import task_postrun, task_prerun, worker_init, worker_process_init
from django.db import Error
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerError

from store import logs, retention
from store.models import Run
from workers import inbox, tracing
from workers.backoff import backoff
from workers.processes import ClaimingRequest, claimant
from workers.queue import LATER, LIVE_SECONDS, Turn, app, dispatch, dispatch_later, dispatch_turn
from workers.replay import batches
from workers.servers import bulkhead, held
from workers.servers.gate import HeldBackError
from workers.servers.outage import is_down
from workers.settings import settings
from workers.warm import rebuilds
from workers.warm.attempt import Postponed, UnrecordedError, rebuild, warm

log = logging.getLogger(__name__)
LONGEST_PAUSE = 30.0
"""Between attempts to record an outcome, in seconds."""
BATCH = 500
"""The number of rows that are dropped at a time."""


@worker_init.connect
def _before_forking(sender: Any, **_: Any) -> None:
    bulkhead.build(sender.concurrency, settings().tracking_servers)


@worker_process_init.connect
def _after_forking(**_: Any) -> None:
    bulkhead.enter()
    tracing.begin("warmboard-worker", settings().traces_collector)


@task_prerun.connect
def _before_task(task_id: str, task: Any, args: Any, **_: Any) -> None:
    of_run = {"run_id": args[0]} if task.name in logs.RUN_TASKS and args else {}
    logs.begin(task=task_id, **of_run)


# After Celery itself has said how the task ended.
@task_postrun.connect
def _after_task(**_: Any) -> None:
    logs.begin()


@app.task(bind=True, name="warm_run", max_retries=None, Request=ClaimingRequest)
def warm_run(self: Any, run_id: str, owed: held.Owed = ()) -> str:
    """Warm one run. Only its ID passes through the broker, and after an outage of the database the attempts that it is
    ``owed``.
    """
    try:
        with _passing_on(run_id):
            outcome = warm(run_id, settings(), claimant(self.request.hostname), owed)
    except HeldBackError as error:
        log.info("run %s is held back: %s", run_id, error)
        return f"held back: {error}"
    except UnrecordedError as error:
        raise self.retry(exc=error, args=[run_id, error.owed], countdown=_pause(self.request)) from error
    except Postponed as error:
        raise self.retry(exc=error, args=[run_id], countdown=error.seconds) from error
    log.info("run %s %s", run_id, outcome)
    if inbox.waits(run_id):
        dispatch(run_id, LIVE_SECONDS)
    return outcome


@contextmanager
def _passing_on(run_id: str) -> Iterator[None]:
    """Afterwards the process is free for the next run of the same tracking server that is held back."""
    try:
        yield
    except (HeldBackError, UnrecordedError):
        raise
    except Exception:
        _pass_on(run_id)
        raise
    _pass_on(run_id)


def _pass_on(run_id: str) -> None:
    try:
        server = Run.objects.filter(pk=run_id).values_list("tracking_server", flat=True).first()
        for following in held.let_through(server or "", 1):
            dispatch_later(following)
    except (Error, BrokerError) as error:
        log.error("beat will let the next run through: %s", error)


def _pause(request: Any) -> float:
    return backoff(request.retries + 1, longest=LONGEST_PAUSE)


@app.task(bind=True, name="rebuild_run", max_retries=None)
def rebuild_run(self: Any, run_id: str, attempts: int, owed: bool = False) -> str:
    """Rebuild the entries of a run whose schema is outdated; ``attempts`` is how many there were before. ``owed``: one
    of them is to be given back first.

    If the attempt is postponed, the sweep queues the next one.
    """
    try:
        if owed:
            rebuilds.give_back(run_id, attempts)
        outcome = rebuild(run_id, attempts, settings())
    except (HeldBackError, Postponed) as error:
        log.warning("run %s not rebuilt: %s", run_id, error)
        return f"postponed: {error}"
    except Error as error:
        if not is_down(error):
            raise
        raise self.retry(exc=error, args=[run_id, attempts, True], countdown=_pause(self.request)) from error
    log.info("run %s rebuilt: %s", run_id, outcome)
    return outcome


@app.task(bind=True, name="replay_runs")
def replay_runs(self: Any, *turn: Any) -> str:
    """Queue one batch of a replay request, and the next turn behind it. ``turn``: the fields of a `Turn`."""
    following = batches.take(Turn(*turn), self.request.hostname)
    if following:
        dispatch_turn(following, LATER)
    return f"request {turn[0]}: {f'{following.queued} runs so far' if following else 'nothing more to do'}"


@app.task(name="expire")
def expire() -> str:
    """Drop charts and events that are older than RETENTION_DAYS and INBOX_RETENTION_DAYS."""
    kept, events_kept = timedelta(days=settings().retention_days), timedelta(days=settings().inbox_retention_days)
    now = timezone.now()
    runs = _in_batches(lambda: retention.expire(now - kept, BATCH)) if kept else 0
    events = _in_batches(lambda: inbox.delete_settled(now - events_kept, BATCH)) if events_kept else 0
    outcome = f"{runs} runs expired, {events} events deleted"
    log.info(outcome)
    return outcome


def _in_batches(drop: Callable[[], int]) -> int:
    dropped = 0
    while done := drop():
        dropped += done
    return dropped
