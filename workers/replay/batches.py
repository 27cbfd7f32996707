"""Replay: have past events processed again, of one run or of many. Always safe, since warming is idempotent.

Many runs are handed out batch by batch, behind whatever else there is to warm. A request that came through Pub/Sub
stands in the inbox until its last batch is handed out. Each batch is a task; when one is lost, the sweep begins the
request anew, and runs that were fetched since it came are left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from django.db import DatabaseError
from django.db.models import F, QuerySet
from django.utils import timezone
from kombu.exceptions import OperationalError

from store.models import InboxEvent
from store.selection import selected
from warmboard.contract.replay import REPLAY_REQUESTED, ReplayRequest, Selection
from workers import inbox
from workers.inbox import UNFINISHED, State
from workers.queue import Turn

Dispatch = Callable[[str], None]
BATCH = 100
POLL_SECONDS = 0.1
PATIENCE = timedelta(minutes=10)
"""So long a batch, and a run that it handed out, may wait behind other work before the sweep hands it out anew."""


class ReplayError(Exception):
    """The run was not warmed again; the text says why and what to do."""


def replay(run_id: str, *, wait: float, dispatch: Dispatch, say: Callable[[str], None] = print) -> None:
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


def hand_out(selection: Selection, asked_at: datetime, after: str, dispatch: Dispatch) -> list[str]:
    """Reopens and queues the next runs that are meant, at most BATCH, in the order of their IDs; returns them. What was
    fetched since ``asked_at`` is as new as was asked for, and left out.

    Raises DatabaseError, kombu's OperationalError.
    """
    wanted = selected(selection).filter(run_id__gt=after).exclude(fetched_at__gte=asked_at)
    runs = list(wanted.values_list("run_id", flat=True)[:BATCH])
    for run_id in runs:
        inbox.reopen(run_id, grace=PATIENCE)
        dispatch(run_id)
    return runs


def take(turn: Turn, dispatch: Dispatch, worker: str) -> Turn | None:
    """Hands out one batch of a request; returns the next turn, None after the last. The request's row says how far it
    is.

    Raises DatabaseError, kombu's OperationalError; the sweep begins the request anew.
    """
    ours = InboxEvent.objects.filter(pk=turn.request, claims=turn.claim, state__in=UNFINISHED)
    now = timezone.now()
    if not ours.update(state=State.WARMING, due_at=now + PATIENCE, claimed_by=worker, claimed_at=now):
        return None
    row = ours.get()
    try:
        selection = ReplayRequest.decode(bytes(row.data), row.attributes).selection
        runs = hand_out(selection, row.received_at, turn.after, dispatch)
    except (DatabaseError, OperationalError):
        raise
    except Exception as error:
        ours.update(state=State.FAILED, reason=f"{type(error).__name__}: {error}", due_at=None)
        raise
    handed = turn.handed + len(runs)
    if len(runs) < BATCH:
        ours.update(state=State.DONE, reason=f"handed out {_runs(handed)}", due_at=None, done_at=timezone.now())
        return None
    ours.update(reason=f"handed out {_runs(handed)} so far")
    return Turn(turn.request, turn.claim, runs[-1], handed)


def due(now: datetime) -> list[Turn]:
    """Requests that nobody has been at for too long, to be begun anew; whoever still is at one has no turn any more."""
    overdue = _requests().filter(due_at__lte=now)
    pks = list(overdue.values_list("pk", flat=True))
    _requests().filter(pk__in=pks).update(claims=F("claims") + 1, due_at=now + PATIENCE, state=State.PENDING)
    return [Turn(pk, claim) for pk, claim in _requests().filter(pk__in=pks).values_list("pk", "claims")]


def wait_for(runs: Iterable[str], seconds: float, settled: Callable[[int], object]) -> list[str]:
    """Waits until none of the runs has an unfinished event, and returns those that failed. ``settled`` is told how many
    more are settled.

    Raises ReplayError when none was for ``seconds``.
    """
    everything = sorted(runs)
    waiting, begin = set(everything), time.monotonic()
    unfinished = InboxEvent.objects.filter(state__in=UNFINISHED)
    while waiting:
        left = set(unfinished.filter(run_id__in=waiting).values_list("run_id", flat=True))
        if gone := len(waiting) - len(left):
            settled(gone)
            waiting, begin = left, time.monotonic()
        elif time.monotonic() - begin > seconds:
            raise ReplayError(
                f"still not warm: {_runs(len(waiting))}; none became so for {seconds:.0f} s: is a worker running?"
            )
        time.sleep(POLL_SECONDS)
    failed = InboxEvent.objects.filter(run_id__in=everything, state=State.FAILED)
    return sorted(set(failed.values_list("run_id", flat=True)))


def _runs(number: int) -> str:
    return f"{number:,} run{'' if number == 1 else 's'}"


def _requests() -> QuerySet[InboxEvent]:
    return InboxEvent.objects.filter(type=REPLAY_REQUESTED, state__in=UNFINISHED)


def _outcome(row: InboxEvent, wait: float) -> str:
    begin = time.monotonic()
    while (took := time.monotonic() - begin) < wait:
        row.refresh_from_db()
        if row.state == State.DONE:
            return f"warm after {took:.1f} s"
        if row.state == State.FAILED:
            raise ReplayError(f"run {row.run_id} failed: {row.reason}")
        time.sleep(POLL_SECONDS)
    hint = row.reason or "is a worker running?"
    raise ReplayError(f"run {row.run_id} is still {row.state} after {wait:.0f} s: {hint}")
