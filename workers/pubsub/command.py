"""``python -m workers seek``, ``snapshot``, ``setup`` and ``redrive``. Each returns its exit status."""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec

from django.db import DatabaseError
from django.utils import timezone
from google.auth.exceptions import GoogleAuthError
from kombu.exceptions import OperationalError

from store.models import InboxEvent, Snapshot
from store.recalled import OTHERS, recalled
from warmboard.contract.cloudevents import EventError
from warmboard.contract.subscription import SubscriptionRequest, Wish
from workers import inbox
from workers.inbox import Message, State
from workers.pubsub import dead_letters, setup
from workers.pubsub.clients import GoogleAPIError
from workers.queue import give_up_on_slow_broker
from workers.settings import Settings

SOURCE = "/warmboard/workers/subscription"
REQUESTED_BY = "the command line"
POLL_SECONDS = 0.2
P = ParamSpec("P")


def _told(command: Callable[P, int]) -> Callable[P, int]:
    """Print errors of the parts that may be down; the exit status is then 1, or 2 for a wrong option."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            return command(*args, **kwargs)
        except EventError as error:
            print(f"workers: {error}", file=sys.stderr)
            return 2
        except GoogleAuthError as error:
            hint = "PUBSUB_EMULATOR_HOST is unset, so Google's Pub/Sub is used"
            print(f"workers: no credentials ({hint}): {error}", file=sys.stderr)
        except OperationalError as error:
            print(f"workers: Redis is down; the sweep will queue the runs: {error}", file=sys.stderr)
        except (DatabaseError, GoogleAPIError) as error:
            print(f"workers: {error}", file=sys.stderr)
        return 1

    return run


@_told
def show(wish: Mapping[str, Any]) -> int:
    """Print what the inbox has of a seek's range."""
    seek = Wish(**wish)
    found = recalled(seek)
    print(found or f"No subscriber has listed snapshot {seek.snapshot}, so its range is unknown.")
    print(OTHERS)
    return 0


@_told
def ask(wish: Mapping[str, Any], seconds: float) -> int:
    """Record a request in the inbox, and wait until a subscriber has performed it."""
    request = SubscriptionRequest(
        id=uuid.uuid4().hex, time=timezone.now(), wish=Wish(**wish), requested_by=REQUESTED_BY, source=SOURCE
    )
    row = inbox.record(Message("", *request.encode(), request.time))
    if row is None:
        raise EventError(f"request {request.id} is in the inbox already")
    end = time.monotonic() + seconds
    while row.state in inbox.UNFINISHED and time.monotonic() < end:
        time.sleep(POLL_SECONDS)
        row.refresh_from_db(fields=["state", "reason"])
    return _outcome(row, request, seconds)


def _outcome(row: InboxEvent, request: SubscriptionRequest, seconds: float) -> int:
    if row.state == State.DONE:
        print(row.reason)
        return 0
    if row.state == State.FAILED:
        print(f"workers: {row.reason}", file=sys.stderr)
        return 1
    print(f"{request}: asked for. {row.reason}".rstrip())
    if seconds:
        print("workers: no subscriber has performed it. Is one running? It will when it is.", file=sys.stderr)
    return 1 if seconds else 0


@_told
def list_snapshots() -> int:
    """Print the snapshots, as a subscriber last saw them."""
    for snapshot in Snapshot.objects.filter(expires_at__gt=timezone.now()).order_by("oldest_at"):
        print(
            f"{snapshot.name}: messages from {snapshot.oldest_at:%Y-%m-%d %H:%M} UTC on,"
            f" expires at {snapshot.expires_at:%Y-%m-%d %H:%M} UTC"
        )
    return 0


@_told
def set_up(settings: Settings, *, check: bool) -> int:
    """Print how topic and subscriptions differ from their declaration, and, unless ``check``, change them.

    1: something differs (with ``check``), or can't be changed.
    """
    found = list(setup.differences(settings) if check else setup.set_up(settings))
    for difference in found:
        print(difference)
    if not found:
        print("Topic and subscriptions are as declared.")
    return 1 if (found if check else [each for each in found if each.stuck]) else 0


@_told
def redrive(*, dry_run: bool) -> int:
    """Take up parked dead letters, and unreadable messages that this version can read."""
    give_up_on_slow_broker()
    if dry_run:
        runs, read = dead_letters.parked(), [row for row, _ in dead_letters.readable()]
        for run_id in runs:
            print(f"run {run_id} has a dead letter")
        for row in read:
            print(f"row {row.pk} of the inbox can be read now")
        print(f"{len(runs):,} runs with dead letters, {len(read):,} messages that can be read now")
        return 0
    queued, count = dead_letters.redrive()
    print(f"queued {len(queued):,} runs, of {count:,} messages that can be read now and of all parked dead letters")
    return 0
