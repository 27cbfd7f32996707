"""warm(run_id) = fetch → sample → store. Idempotent: doing it again changes nothing but the time it was done."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from functools import cache

from django.db import OperationalError
from django.utils import timezone

from contract.events import RunEvent
from store import warm as door
from store.models import InboxEvent
from store.warm import HotCopyError
from workers import inbox
from workers.documents import RunDocuments, Sampling
from workers.errors import PermanentError, TransientError
from workers.fetch import Fetcher
from workers.settings import Settings

log = logging.getLogger(__name__)
FIRST_DELAY, LONGEST_DELAY = 1.0, 300.0
RENEW_SECONDS = 20.0


class Postponed(Exception):
    """Something transient was in the way; to be tried again in ``seconds``."""

    def __init__(self, reason: str, seconds: float) -> None:
        super().__init__(f"{reason}; again in {seconds:.1f} s")
        self.seconds = seconds


def warm(run_id: str, settings: Settings, worker: str) -> str:
    """Warms the run that unfinished events in the inbox ask for; says what came of it.

    Raises Postponed, or the error for which it gave up. Either way the inbox has the reason.
    """
    events = inbox.claim(run_id, worker)
    if not events:
        return "nothing to do: no event that waits"
    attempts = max(event.attempts for event in events)
    try:
        if attempts > settings.warm_attempts:
            raise PermanentError(f"gave up: attempt {attempts - 1} ended without a result, as if its worker was killed")
        outcome = _fetch_and_store(events, settings)
    except PermanentError as error:
        inbox.give_up(events, str(error))
        raise
    except (TransientError, HotCopyError, OperationalError) as error:
        _postpone(events, attempts, error, settings)
    except Exception as error:
        # Nothing that tries again would help: a fault of ours, or a run that nobody thought of. The reason is kept.
        inbox.give_up(events, f"{type(error).__name__}: {error}")
        raise
    inbox.finish(events)
    return outcome


def backoff(attempts: int) -> float:
    """Seconds until the next attempt: doubling, with full jitter on the upper half."""
    ceiling: float = min(LONGEST_DELAY, FIRST_DELAY * 2 ** (attempts - 1))
    return ceiling * random.uniform(0.5, 1)


def _fetch_and_store(events: list[InboxEvent], settings: Settings) -> str:
    fetched_at, event = timezone.now(), events[-1].event()
    run = _fetcher(_address(event, settings), settings.fetch_concurrency).fetch(event.run_id, _renewing(events))
    documents = RunDocuments(run, Sampling(settings.epoch_sample_interval, settings.overview_points), timezone.now())
    entries = documents.entries()
    stored = door.put(
        door.WarmRun(
            run_id=run.run_id,
            fetched_at=fetched_at,
            experiment_name=run.experiment_name,
            name=run.name,
            status=run.status,
            start_time=run.start_time,
            end_time=run.end_time,
            epochs=len(documents.epochs),
            params=dict(run.params),
            final_metrics=documents.final_metrics,
            sparkline=documents.sparkline(),
            entries=entries,
        )
    )
    took = (timezone.now() - fetched_at).total_seconds()
    size = sum(len(entry.body) for entry in entries.values())
    if not stored:
        return f"left alone: a later fetch of run {run.run_id} is already stored"
    return f"warm: {len(run.curves)} metrics, {len(documents.epochs)} epochs, {size:,} bytes in {took:.2f} s"


def _renewing(events: list[InboxEvent]) -> Callable[[], None]:
    """Renews the claim on the events, now and then however often it is called."""
    renewed = time.monotonic()

    def alive() -> None:
        nonlocal renewed
        if time.monotonic() - renewed > RENEW_SECONDS:
            renewed = time.monotonic()
            inbox.renew(events)

    return alive


def _address(event: RunEvent, settings: Settings) -> str:
    try:
        return settings.tracking_servers[event.tracking_server]
    except KeyError:
        known = ", ".join(sorted(settings.tracking_servers))
        raise PermanentError(
            f"the event names tracking server {event.tracking_server!r}; configured: {known}. "
            "Add it to MLFLOW_TRACKING_SERVERS, then replay"
        ) from None


def _postpone(events: list[InboxEvent], attempts: int, error: Exception, settings: Settings) -> None:
    if attempts >= settings.warm_attempts:
        reason = f"gave up after {attempts} attempts: {error}"
        inbox.give_up(events, reason)
        raise PermanentError(reason) from error
    seconds = backoff(attempts)
    inbox.postpone(events, str(error), seconds)
    raise Postponed(str(error), seconds) from error


@cache
def _fetcher(address: str, concurrency: int) -> Fetcher:
    """One connection pool per tracking server and process."""
    return Fetcher(address, concurrency=concurrency)
