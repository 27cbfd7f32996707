"""The tasks that Celery runs. `workers.queue` queues them by name."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.utils import timezone

from store import retention
from store.logs import about
from workers import inbox
from workers.queue import LATER, LIVE_SECONDS, Turn, app, dispatch, dispatch_turn
from workers.replay import batches
from workers.settings import settings
from workers.warm.attempt import Postponed, rebuild, warm

log = logging.getLogger(__name__)
BATCH = 500
"""The number of rows that are dropped at a time."""


@app.task(bind=True, name="warm_run", max_retries=None)
def warm_run(self: Any, run_id: str) -> str:
    """Warm one run. Only its ID passes through the broker."""
    with about(run=run_id, task=self.request.id, attempt=self.request.retries + 1):
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
    """Rebuild the entries of a run whose schema is outdated; ``attempts`` is how many there were before.

    If the attempt is postponed, the sweep queues the next one.
    """
    try:
        outcome = rebuild(run_id, attempts, settings())
    except Postponed as error:
        log.warning("run %s not rebuilt: %s", run_id, error)
        return f"postponed: {error}"
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
