"""``python -m workers replay``: records a request in the inbox, as the subscriber does, and waits for its runs.

The command only watches. If it is killed the replay goes on: the sweep queues a request that no worker holds.
"""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from itertools import islice

from django.utils import timezone
from kombu.exceptions import OperationalError
from tqdm import tqdm

from store.models import InboxEvent, Run
from store.selection import selected
from warmboard.contract.replay import ReplayRequest, Selection
from workers import inbox
from workers.inbox import UNFINISHED, Message, State
from workers.queue import Turn, dispatch_turn
from workers.replay.batches import count, fetched_since

SOURCE = "/warmboard/workers/replay"
REQUESTED_BY = "the command line"
SHOWN = 20
POLL_SECONDS = 0.1
WINDOW = 200
"""How many runs one poll looks at. Settled ones make room for the next."""


class ReplayError(Exception):
    """Runs were not warmed again; the text says why and what to do."""


def show(selection: Selection) -> None:
    """Print what a replay would touch: how many runs, and the first of them."""
    runs = selected(selection)
    total = runs.count()
    for run in runs[:SHOWN]:
        print(f"run {run.run_id} ({run.status}, {run.experiment_name})")
    if total > SHOWN:
        print(f"… and {total - SHOWN:,} more")
    print(f"{selection}: {total:,} would be warmed again")


def replay(selection: Selection, wait: float) -> list[str]:
    """Have all selected runs warmed again, and print the outcome; returns the runs that failed.

    Gives up waiting after ``wait`` seconds without progress; 0 doesn't wait.

    Raises ReplayError, DatabaseError; EventError for a selection that no request can carry.
    """
    begin, request = time.monotonic(), _request(selection)
    # By ID, as the batches go.
    runs = list(selected(selection).values_list("run_id", flat=True))
    if selection.run_id and not Run.objects.filter(pk=selection.run_id).exists():
        warm = f"python -m workers warm {selection.run_id}"
        raise ReplayError(f"no event has announced run {selection.run_id}; `{warm}` warms it anyway")
    row = _record(request) if runs else None
    if not wait:
        print(f"{selection}: asked for {count(len(runs))}")
        return []
    failed: list[str] = []
    with tqdm(total=len(runs), unit="run", desc="replaying", file=sys.stderr, dynamic_ncols=True, disable=None) as bar:
        for settled in _settled(row, runs, wait) if row else ():
            bar.update(len(settled))
            for run_id, reason in _failures(settled).items():
                failed.append(run_id)
                bar.write(f"run {run_id} failed: {reason}", file=sys.stderr)
    seconds = time.monotonic() - begin
    if selection.run_id and runs and not failed:
        print(f"{selection}: warm after {seconds:.1f} s")
    else:
        print(f"{selection}: {len(runs) - len(failed):,} warm, {len(failed):,} failed, in {seconds:.1f} s")
    return failed


def _request(selection: Selection) -> ReplayRequest:
    """Raises EventError if a worker could not read the request."""
    request = ReplayRequest(
        id=uuid.uuid4().hex, time=timezone.now(), selection=selection, requested_by=REQUESTED_BY, source=SOURCE
    )
    return ReplayRequest.decode(*request.encode())


def _record(request: ReplayRequest) -> InboxEvent:
    """Record the request in the inbox and queue its first batch."""
    data, attributes = request.encode()
    row = inbox.record(Message("", data, attributes, request.time))
    if row is None or row.state != State.PENDING:
        raise ReplayError(row.reason if row else f"request {request.id} is in the inbox already")
    try:
        dispatch_turn(Turn(row.pk, row.claims))
    except OperationalError as error:
        print(f"Redis is down; the sweep will queue the replay: {error}", file=sys.stderr)
    return row


def _settled(request: InboxEvent, runs: Sequence[str], seconds: float) -> Iterator[set[str]]:
    """Yield the runs as they settle, warm or failed.

    Raises ReplayError when none did for ``seconds``, or when the request failed.
    """
    waiting, progress_at = dict.fromkeys(runs), time.monotonic()
    while waiting:
        watched = set(islice(waiting, WINDOW))
        if settled := watched - _unsettled(request, watched):
            for run_id in settled:
                del waiting[run_id]
            progress_at = time.monotonic()
            yield settled
        elif time.monotonic() - progress_at > seconds:
            raise ReplayError(
                f"still not warm: {count(len(waiting))}; no progress for {seconds:.0f} s: {_hint(watched)} "
                "The replay goes on without this command"
            )
        time.sleep(POLL_SECONDS)


def _unsettled(request: InboxEvent, runs: set[str]) -> set[str]:
    """The runs that are still to be warmed: with an unfinished event, or before the request's batches got to them."""
    # Read before the runs: once the last batch is queued, all of them are reopened.
    request.refresh_from_db(fields=["state", "reason"])
    if request.state == State.FAILED:
        raise ReplayError(f"the request failed: {request.reason}")
    events = InboxEvent.objects.filter(run_id__in=runs)
    unfinished = set(events.filter(state__in=UNFINISHED).values_list("run_id", flat=True))
    if request.state == State.DONE:
        return unfinished
    asked_at = request.received_at
    done = set(Run.objects.filter(fetched_since(asked_at), pk__in=runs).values_list("pk", flat=True))
    done.update(events.filter(state=State.FAILED, claimed_at__gte=asked_at).values_list("run_id", flat=True))
    return runs - done | unfinished


def _failures(runs: set[str]) -> dict[str, str]:
    """Run ID → reason, of the runs that have a failed event."""
    failed = InboxEvent.objects.filter(run_id__in=runs, state=State.FAILED).order_by("run_id", "pk")
    return dict(failed.values_list("run_id", "reason"))


def _hint(runs: set[str]) -> str:
    """Why the runs may not be warm yet."""
    unfinished = InboxEvent.objects.filter(run_id__in=runs, state__in=UNFINISHED).exclude(reason="")
    reason = unfinished.values_list("reason", flat=True).first()
    return f"{reason}." if reason else "is a worker running?"
