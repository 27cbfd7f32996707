"""Replay: have a past event processed again. Always safe, since warming is idempotent."""

from __future__ import annotations

import time
from collections.abc import Callable

from kombu.exceptions import OperationalError

from store.models import InboxEvent
from workers import inbox
from workers.app import dispatch

POLL_SECONDS = 0.1


class ReplayError(Exception):
    """The run was not warmed again; the text says why and what to do."""


def replay(run_id: str, *, wait: float, say: Callable[[str], None] = print) -> None:
    """Hands a run's newest event to the workers again and waits up to ``wait`` seconds (0: not at all) for the result.
    That brings back an expired run, too.

    Raises ReplayError.
    """
    row = inbox.reopen(run_id)
    if row is None:
        raise ReplayError(
            f"no event has announced run {run_id}; `python -m workers warm {run_id}` warms it all the same"
        )
    say(f"replaying event {row.event_id} of run {run_id}")
    try:
        dispatch(run_id)
    except OperationalError as error:
        say(f"Redis is away, the sweep will hand it out: {error}")
    if wait:
        say(_outcome(row, wait))


def _outcome(row: InboxEvent, wait: float) -> str:
    begin = time.monotonic()
    while (took := time.monotonic() - begin) < wait:
        row.refresh_from_db()
        if row.state == InboxEvent.State.DONE:
            return f"warm after {took:.1f} s"
        if row.state == InboxEvent.State.FAILED:
            raise ReplayError(f"run {row.run_id} failed: {row.reason}")
        time.sleep(POLL_SECONDS)
    hint = row.reason or "is a worker running?"
    raise ReplayError(f"run {row.run_id} is still {row.state} after {wait:.0f} s: {hint}")
