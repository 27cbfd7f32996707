"""Requests about the subscription: each is performed once, by a subscriber, whose identity may do so.

A request comes through Pub/Sub, or from ``python -m workers seek`` and ``snapshot``; the inbox keeps it. The subscriber
that claims its row performs it; if that one is killed, another does it again, as the same seek.
"""

from __future__ import annotations

import logging
from contextlib import closing, suppress
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, Q
from django.utils import timezone
from google.api_core.exceptions import AlreadyExists, GoogleAPICallError, RetryError, ServerError

from store import clock
from store.models import InboxEvent, Seek, Snapshot
from warmboard.contract.cloudevents import EventError
from warmboard.contract.subscription import SUBSCRIPTION_REQUESTED, Action, SubscriptionRequest, Wish
from workers.inbox import UNFINISHED, State
from workers.pubsub.clients import GoogleAPIError, NotFound, ask, subscriber
from workers.recording.text import cut
from workers.settings import Settings

log = logging.getLogger(__name__)
LEASE = timedelta(minutes=2)
RETRY = timedelta(seconds=10)
STALE = timedelta(hours=1)
"""An older request is not performed: a seek of long ago, which another seek may bring again, would surprise."""
SNAPSHOT_AGE = timedelta(days=7)
"""A snapshot expires when its oldest message is this old. So its end tells how old that is."""


class RefusedError(Exception):
    """The request is not performed; the text says why and what to do."""


def perform(settings: Settings, worker: str) -> InboxEvent | None:
    """Perform the next request; returns its row with the outcome, None if there is no request.

    Raises DatabaseError.
    """
    row = _claim(worker)
    if row is None:
        return None
    try:
        request = SubscriptionRequest.decode(bytes(row.data), row.attributes)
        if request.time < timezone.now() - STALE:
            raise RefusedError("The request was more than an hour old. Ask again.")
        with closing(subscriber(settings)) as client:
            outcome = Subscription(client, settings).perform(request, again=row.attempts > 1)
            with suppress(GoogleAPIError):
                list_snapshots(client, settings)
    except (ServerError, RetryError) as error:
        log.error("%s failed, retrying in %d s: %s", request, RETRY.total_seconds(), error)
        _settle(row, due_at=clock.now() + RETRY, reason=cut(f"Pub/Sub is down: {error}"))
    except (EventError, RefusedError, GoogleAPIError) as error:
        log.error("request %s is not performed: %s", row.event_id, error)
        _settle(row, state=State.FAILED, reason=cut(_said(error)), due_at=None)
    else:
        log.warning("%s, requested by %s: %s", request, request.requested_by, outcome)
        _settle(row, state=State.DONE, reason=cut(outcome), due_at=None, done_at=timezone.now())
    row.refresh_from_db()
    return row


def list_snapshots(client: Any, settings: Settings) -> None:
    """Write the snapshots of the topic to their table. Raises GoogleAPIError, DatabaseError."""
    topic = f"projects/{settings.project}/topics/{settings.topic}"
    listed = ask(client.list_snapshots, project=f"projects/{settings.project}")
    found = [snapshot for snapshot in listed if snapshot.topic == topic]
    for snapshot in found:
        times = {"expires_at": snapshot.expire_time, "oldest_at": snapshot.expire_time - SNAPSHOT_AGE}
        Snapshot.objects.update_or_create(name=_short(snapshot.name), defaults=times)
    Snapshot.objects.exclude(name__in=[_short(snapshot.name) for snapshot in found]).delete()


def list_all(settings: Settings) -> None:
    """Write the snapshots of the topic to their table. Raises GoogleAPIError, DatabaseError."""
    with closing(subscriber(settings)) as client:
        list_snapshots(client, settings)


class Subscription:
    """The workers' subscription in Pub/Sub."""

    def __init__(self, client: Any, settings: Settings) -> None:
        self._client, self._project = client, settings.project
        self._path = f"projects/{settings.project}/subscriptions/{settings.subscription}"

    def perform(self, request: SubscriptionRequest, *, again: bool) -> str:
        """Do what the request says; returns the outcome in words. ``again``: an earlier attempt, whose outcome is not
        known, may have done it. Raises RefusedError, GoogleAPIError.
        """
        wish = request.wish
        match wish.action:
            case Action.CREATE:
                expires_at = self._create(self._snapshot(wish.snapshot), again=again)
                return f"Made snapshot {wish.snapshot}. It expires at {expires_at:%Y-%m-%d %H:%M} UTC."
            case Action.DELETE:
                self._delete(self._snapshot(wish.snapshot), again=again)
                return f"Deleted snapshot {wish.snapshot}."
        return self._seek(wish, request.id)

    def _create(self, name: str, *, again: bool) -> datetime:
        """When the new snapshot expires."""
        try:
            made = ask(self._client.create_snapshot, name=name, subscription=self._path)
        except AlreadyExists:
            if not again:
                raise
            made = ask(self._client.get_snapshot, snapshot=name)
        expires_at: datetime = made.expire_time
        return expires_at

    def _delete(self, name: str, *, again: bool) -> None:
        try:
            ask(self._client.delete_snapshot, snapshot=name)
        except NotFound:
            if not again:
                raise

    def _seek(self, wish: Wish, request_id: str) -> str:
        kept = self._keep_what_it_drops(wish, request_id)
        # Before Pub/Sub knows: what it brings may arrive at once, at another subscriber.
        Seek.objects.get_or_create(request_id=request_id, defaults={"at": timezone.now(), "since": wish.to})
        if wish.snapshot:
            ask(self._client.seek, subscription=self._path, snapshot=self._snapshot(wish.snapshot))
        else:
            ask(self._client.seek, subscription=self._path, time=wish.to)
        undo = f" Snapshot {kept} has what was dropped." if kept else ""
        return f"Done: {wish}. Pub/Sub brings the messages within a minute or so.{undo}"

    def _keep_what_it_drops(self, wish: Wish, request_id: str) -> str:
        """The name of a snapshot that has the messages that the seek acknowledges; empty if there are none.

        Raises RefusedError if there are some and the request doesn't allow it.
        """
        target = wish.to or self._oldest_of(wish.snapshot)
        name = f"before-seek-{request_id[:8]}"
        with suppress(GoogleAPIError):  # Of an earlier attempt of the same request.
            ask(self._client.delete_snapshot, snapshot=self._snapshot(name))
        snapshot = ask(self._client.create_snapshot, name=self._snapshot(name), subscription=self._path)
        oldest = snapshot.expire_time - SNAPSHOT_AGE
        if oldest < target and wish.drop:
            return name
        ask(self._client.delete_snapshot, snapshot=self._snapshot(name))
        if oldest < target:
            raise RefusedError(
                "Refused: the seek would drop messages that no subscriber has received, from "
                f"{oldest:%Y-%m-%d %H:%M:%S} UTC on. Wait until they are received, or allow it with --drop."
            )
        return ""

    def _oldest_of(self, snapshot: str | None) -> datetime:
        found = ask(self._client.get_snapshot, snapshot=self._snapshot(snapshot))
        oldest: datetime = found.expire_time - SNAPSHOT_AGE
        return oldest

    def _snapshot(self, name: str | None) -> str:
        return f"projects/{self._project}/snapshots/{name}"


def _claim(worker: str) -> InboxEvent | None:
    now = clock.now()
    free = InboxEvent.objects.filter(
        Q(due_at=None) | Q(due_at__lte=now), type=SUBSCRIPTION_REQUESTED, state__in=UNFINISHED
    )
    row = free.order_by("pk").first()
    if row is None:
        return None
    ours = {"state": State.WARMING, "claims": F("claims") + 1, "attempts": F("attempts") + 1}
    # Of several subscribers, one updates the row.
    if not free.filter(pk=row.pk, claims=row.claims).update(
        **ours, claimed_by=worker, claimed_at=now, due_at=now + LEASE
    ):
        return None
    row.refresh_from_db()
    return row


def _settle(row: InboxEvent, **values: object) -> None:
    InboxEvent.objects.filter(pk=row.pk, claims=row.claims, state=State.WARMING).update(**values)


def _said(error: Exception) -> str:
    if isinstance(error, GoogleAPICallError):
        return f"Pub/Sub refused: {error.message}"
    return str(error)


def _short(name: str) -> str:
    return name.rpartition("/")[2]
