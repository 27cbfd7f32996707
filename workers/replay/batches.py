"""Replay: warm again the runs that a request in the inbox selects, batch by batch. Always safe: warming is idempotent.

A request comes through Pub/Sub, or from ``python -m workers replay``. Its row stays unfinished until its last batch is
queued. Each batch is a task that queues the next one, behind its own runs. If a task is lost, the sweep starts the
request again from the first run; runs that were fetched since the request came are left out.
"""

from __future__ import annotations

from datetime import datetime

from django.db import DatabaseError
from django.db.models import F, Q, QuerySet
from django.utils import timezone
from kombu.exceptions import OperationalError

from store import clock
from store.models import InboxEvent
from store.selection import selected
from warmboard.contract.replay import REPLAY_REQUESTED, ReplayRequest, Selection
from workers import inbox
from workers.inbox import UNFINISHED, State
from workers.queue import LATER, SOON, Turn, dispatch
from workers.recording.behind import PATIENCE

BATCH = 100


def queue_batch(selection: Selection, asked_at: datetime, after: str) -> list[str]:
    """Reopen and queue the next selected runs: at most BATCH, by ID, from ``after`` on. Returns their IDs.

    Runs fetched since ``asked_at`` are left out: they are as new as was asked for. A single run is queued like an
    event, many runs behind all events.

    Raises DatabaseError, kombu's OperationalError.
    """
    one = selection.run_id is not None
    wanted = selected(selection).filter(run_id__gt=after).exclude(fetched_since(asked_at))
    runs = list(wanted.values_list("run_id", flat=True)[:BATCH])
    for run_id in runs:
        inbox.reopen(run_id, grace=inbox.dispatch_grace() if one else PATIENCE)
        dispatch(run_id, priority=SOON if one else LATER)
    return runs


def fetched_since(moment: datetime) -> Q:
    """Runs that were fetched at or after the moment. A time that lies ahead is of a wrong clock."""
    return Q(fetched_at__gte=moment, fetched_at__lte=clock.now())


def take(turn: Turn, worker: str) -> Turn | None:
    """Queue one batch of a request; returns the next turn, None after the last. The request's row has the progress.

    Raises DatabaseError, kombu's OperationalError; the sweep starts the request again.
    """
    ours = InboxEvent.objects.filter(pk=turn.request, claims=turn.claim, state__in=UNFINISHED)
    now = timezone.now()
    if not ours.update(state=State.WARMING, due_at=now + PATIENCE, claimed_by=worker, claimed_at=now):
        return None
    row = ours.get()
    try:
        selection = ReplayRequest.decode(bytes(row.data), row.attributes).selection
        runs = queue_batch(selection, row.received_at, turn.after)
    except (DatabaseError, OperationalError):
        raise
    except Exception as error:
        ours.update(state=State.FAILED, reason=f"{type(error).__name__}: {error}", due_at=None)
        raise
    total = turn.queued + len(runs)
    if len(runs) < BATCH:
        ours.update(state=State.DONE, reason=f"queued {count(total)}", due_at=None, done_at=timezone.now())
        return None
    ours.update(reason=f"queued {count(total)} so far")
    return Turn(turn.request, turn.claim, runs[-1], total)


def is_due(now: datetime) -> bool:
    """Whether there are requests that no worker holds."""
    return _requests().filter(due_at__lte=now).exists()


def due(now: datetime) -> list[Turn]:
    """The first turns of requests that no worker holds. Turns that are still queued for them become void."""
    overdue = _requests().filter(due_at__lte=now)
    pks = list(overdue.values_list("pk", flat=True))
    _requests().filter(pk__in=pks).update(claims=F("claims") + 1, due_at=now + PATIENCE, state=State.PENDING)
    return [Turn(pk, claim) for pk, claim in _requests().filter(pk__in=pks).values_list("pk", "claims")]


def count(runs: int) -> str:
    """A number of runs in words: ``1,234 runs``."""
    return f"{runs:,} run{'' if runs == 1 else 's'}"


def _requests() -> QuerySet[InboxEvent]:
    return InboxEvent.objects.filter(type=REPLAY_REQUESTED, state__in=UNFINISHED)
