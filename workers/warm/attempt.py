"""warm(run_id): does what unfinished events ask for, and writes down what came of it. Idempotent: doing it again
changes nothing but the time it was done.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import NoReturn

from django.db import OperationalError

from store.models import InboxEvent, Run
from store.warm import HotCopyError
from warmboard.contract.events import EventType
from workers import inbox
from workers.errors import PermanentError, TransientError
from workers.fetch.fetcher import TrackingServer
from workers.settings import Settings
from workers.warm.pipeline import rebuild_from_source, warm_from

log = logging.getLogger(__name__)
FIRST_DELAY, LONGEST_DELAY = 1.0, 300.0
RENEWALS = 6
"""How often a claim is renewed within its lease."""


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
    events = _not_worn_out(events, settings.warm_attempts)
    try:
        outcome = _warm(events, settings)
    except PermanentError as error:
        inbox.give_up(events, str(error))
        raise
    except (TransientError, HotCopyError, OperationalError) as error:
        _postpone(events, error, settings.warm_attempts)
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


def rebuild(run_id: str, settings: Settings) -> str:
    """Makes the entries of a run anew that an older Warmboard has warmed: from what the store kept, without asking
    MLflow; from MLflow where it kept nothing. Raises TransientError, PermanentError, HotCopyError.
    """
    if warmed := rebuild_from_source(run_id, settings):
        return str(warmed)
    return str(warm_from(server_named(Run.objects.get(pk=run_id).tracking_server, settings), run_id, settings))


def server_named(name: str, settings: Settings) -> TrackingServer:
    """The configured server of that name. Raises PermanentError."""
    try:
        return settings.tracking_servers[name]
    except KeyError:
        known = ", ".join(sorted(settings.tracking_servers))
        raise PermanentError(
            f"there is no tracking server named {name!r}; configured: {known}. "
            "Add it to MLFLOW_TRACKING_SERVERS, then replay the run"
        ) from None


def _warm(events: list[InboxEvent], settings: Settings) -> str:
    event = events[-1].event()
    server = server_named(event.tracking_server, settings)
    # Steps that were logged late or anew show only in a whole fetch: at the latest the end of a run brings them.
    ended = any(row.type == EventType.COMPLETED for row in events)
    return str(warm_from(server, event.run_id, settings, incremental=not ended, alive=_renewing(events)))


def _renewing(events: list[InboxEvent]) -> Callable[[], None]:
    """Renews the claim on the events, now and then however often it is called."""
    renewed = time.monotonic()

    def alive() -> None:
        nonlocal renewed
        if time.monotonic() - renewed > inbox.lease().total_seconds() / RENEWALS:
            renewed = time.monotonic()
            inbox.renew(events)

    return alive


def _not_worn_out(events: list[InboxEvent], most: int) -> list[InboxEvent]:
    """Gives up events whose last attempt has ended the worker. Raises PermanentError when none is left."""
    worn_out = [event for event in events if event.attempts > most]
    reason = f"gave up: attempt {most} ended without a result, as if its worker was killed"
    inbox.give_up(worn_out, reason)
    if len(worn_out) == len(events):
        raise PermanentError(reason)
    return [event for event in events if event.attempts <= most]


def _postpone(events: list[InboxEvent], error: Exception, most: int) -> NoReturn:
    """Gives up events that had their attempts, and postpones the others. Raises Postponed, or PermanentError."""
    tired = [event for event in events if event.attempts >= most]
    reason = f"gave up after {most} attempts: {error}"
    inbox.give_up(tired, reason)
    rest = [event for event in events if event.attempts < most]
    if not rest:
        raise PermanentError(reason) from error
    seconds = backoff(min(event.attempts for event in rest))
    inbox.postpone(rest, str(error), seconds)
    raise Postponed(str(error), seconds) from error
