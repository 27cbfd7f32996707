"""The subscriber: streaming pull → inbox → commit → ack → queue. It has its own process: gRPC and Celery's prefork do
not mix.

A message that is in the inbox, readable or not, is acked. While the database is down no stream is open, so that
messages wait in Pub/Sub without using up their attempts. A second thread performs requests and parks dead letters.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

from django.db import DatabaseError, close_old_connections, connection
from google.api_core.exceptions import GoogleAPIError
from kombu.exceptions import OperationalError

from store import clock
from store.durable import commit_durably
from store.logs import about
from store.models import InboxEvent
from warmboard.contract.replay import REPLAY_REQUESTED
from workers import counts, inbox, logged, tracing
from workers.backoff import backoff
from workers.heartbeat import touch
from workers.inbox import REQUESTS, Message
from workers.pubsub import clients, dead_letters, requests
from workers.pubsub.setup import set_up
from workers.pubsub.stream import Stream
from workers.queue import LATER, LIVE_SECONDS, SOON, Turn, dispatch, dispatch_turn, give_up_on_slow_broker
from workers.settings import Settings

log = logging.getLogger(__name__)
TICK_SECONDS = 1.0
LONGEST_PAUSE = 10.0
"""Before Pub/Sub is tried again: what waits there is received within half a minute of its return."""
LONGEST_PROBE_PAUSE = 10.0
HELD_SECONDS = 600.0
"""How long one message that the database does not take may keep all others waiting, once the database answers."""
REQUEST_SECONDS, DEAD_LETTER_SECONDS, SNAPSHOT_SECONDS = 1.0, 30.0, 300.0


class Rest:
    """A time in which a server that did not answer is not asked again: each question to one that hangs takes seconds,
    in which nothing is received.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds, self._until = seconds, 0.0

    def __bool__(self) -> bool:
        return time.monotonic() < self._until

    def begin(self) -> None:
        self._until = time.monotonic() + self._seconds


broker_rest = Rest(5.0)


class Outage:
    """Whether the database is down, and the first message that it did not take, which is tried again."""

    def __init__(self) -> None:
        self.message: Message | None = None

    def __bool__(self) -> bool:
        return self.message is not None

    def over(self) -> bool:
        """Try the message again, and return whether the database took it."""
        if self.message is None:
            return True
        with about(**logged.of_message(self.message.message_id, self.message.attributes)):
            try:
                row = _record(self.message)
                if row:
                    _queue(row)
            except DatabaseError as error:
                log.error("the database is down, messages wait in Pub/Sub: %s", error)
                return False
            except Exception:
                # It comes again, and is nacked then.
                log.exception("message %s not recorded", self.message.message_id)
        self.message = None
        return True

    def give_up(self) -> bool:
        """Leave the message to Pub/Sub if the database answers nevertheless; returns whether it does."""
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        except DatabaseError:
            return False
        self.message = None
        return True


def subscribe(settings: Settings, stop: threading.Event) -> None:
    """Listen until ``stop`` is set. Opens a broken stream again, with back-off."""
    commit_durably()
    give_up_on_slow_broker()
    beside = threading.Thread(target=_work_beside, args=(settings, stop), name="requests", daemon=True)
    beside.start()
    failures = 0
    while not stop.is_set():
        begin = time.monotonic()
        try:
            _listen(settings, stop)
        except GoogleAPIError as error:
            counts.failed("pubsub")
            lasted = time.monotonic() - begin
            failures = 1 if lasted > LONGEST_PAUSE else failures + 1
            pause = backoff(failures, longest=LONGEST_PAUSE)
            log.error("the stream broke, reconnecting in %.1f s: %s", pause, error)
            stop.wait(pause)


def receive(message: Any) -> None:
    """Record one message in the inbox, ack it, and queue its work.

    Raises DatabaseError if the database is down; then the message is neither acked nor nacked.
    """
    with tracing.span("receive", message.attributes, run_id=message.attributes.get("ce-subject", "")):
        row = _record(_as_message(message))
        message.ack()
        if row is None:
            log.info("the event of message %s is in the inbox already", message.message_id)
        else:
            _queue(row)


def create_subscription(settings: Settings) -> None:
    """Create or change topic and subscriptions as they are declared: on an emulator. In the cloud, the deployment or
    ``python -m workers setup`` does it. Raises GoogleAPIError.
    """
    for difference in set_up(settings):
        log.info("set up in Pub/Sub: %s", difference)


def _listen(settings: Settings, stop: threading.Event) -> None:
    """Serve one stream until ``stop`` is set, or until the database is down; then wait for it.

    Raises GoogleAPIError if the stream breaks.
    """
    if settings.pubsub_emulator_host:
        # Before every stream: a restarted emulator may have lost them.
        create_subscription(settings)
    outage = Outage()
    # A connection of its own: the last one may be dead.
    with closing(clients.subscriber(settings)) as client:
        path = client.subscription_path(settings.project, settings.subscription)
        stream = Stream(client, path, lambda message: _receive_unless_down(message, outage))
        try:
            # The stream connects in a thread of its own: it listens once the server has answered.
            stream.check()
            log.info("listening on %s", path)
            while not (stop.is_set() or outage):
                stream.check()
                touch(settings.subscriber_heartbeat)
                stop.wait(TICK_SECONDS)
        finally:
            stream.close(hold=bool(outage))
    _outlast(outage, settings, stop)


def _receive_unless_down(message: Any, outage: Outage) -> None:
    if outage:
        return
    with about(**logged.of_message(message.message_id, message.attributes)):
        try:
            receive(message)
        except DatabaseError as error:
            log.error("message %s not written to the inbox, it will come again: %s", message.message_id, error)
            outage.message = outage.message or _as_message(message)
        except Exception:
            # A message of an unforeseen shape must not stop the others. In the end it is a dead letter.
            log.exception("message %s not recorded", message.message_id)
            message.nack()


def _outlast(outage: Outage, settings: Settings, stop: threading.Event) -> None:
    """Wait until the database takes the message that it did not take, or stop is set."""
    failures, begin = 0, time.monotonic()
    while outage and not stop.is_set() and not outage.over():
        if time.monotonic() - begin > HELD_SECONDS and outage.give_up():
            return
        failures += 1
        # Waiting is what this process has to do now.
        touch(settings.subscriber_heartbeat)
        stop.wait(backoff(failures, longest=LONGEST_PROBE_PAUSE))


def _work_beside(settings: Settings, stop: threading.Event) -> None:
    """Perform requests, park dead letters and list snapshots until ``stop`` is set."""
    worker = f"subscriber@{socket.gethostname()}.{os.getpid()}"
    turns: list[tuple[float, Callable[[], object]]] = [
        (REQUEST_SECONDS, lambda: requests.perform(settings, worker)),
        (DEAD_LETTER_SECONDS, lambda: dead_letters.collect(settings)),
        (SNAPSHOT_SECONDS, lambda: requests.list_all(settings)),
    ]
    due = [time.monotonic() + seconds for seconds, _ in turns]
    while not stop.wait(REQUEST_SECONDS):
        close_old_connections()
        for i, (seconds, work) in enumerate(turns):
            if time.monotonic() < due[i]:
                continue
            due[i] = time.monotonic() + seconds
            try:
                work()
            except (DatabaseError, GoogleAPIError) as error:
                log.warning("trying again in %d s: %s", seconds, error)
                due[i] = time.monotonic() + max(seconds, LONGEST_PROBE_PAUSE)
            except Exception:
                # A message of an unforeseen shape must not stop the thread.
                log.exception("trying again in %d s", LONGEST_PAUSE)
                due[i] = time.monotonic() + LONGEST_PAUSE


def _record(message: Message) -> InboxEvent | None:
    """Record a message in the inbox, and count it. Raises DatabaseError if the database is down."""
    close_old_connections()
    try:
        row = inbox.record(message)
    except DatabaseError:
        counts.failed("database")
        raise
    counts.received(_outcome(row))
    return row


def _outcome(row: InboxEvent | None) -> counts.Outcome:
    if row is None:
        return "duplicate"
    if row.state == InboxEvent.State.UNREADABLE:
        return "unreadable"
    return "kept" if row.seek is None else "reopened"


def _queue(row: InboxEvent) -> None:
    """Queue the work of a new or reopened row. If Redis is down, the sweep does it as soon as it is back.

    Raises DatabaseError.
    """
    with about(**logged.of_event(row)):
        if row.state == InboxEvent.State.UNREADABLE:
            log.warning("row %d of the inbox is no event, but is kept: %s", row.pk, row.reason)
            return
        log.info("event %s is in the inbox, for %s", row.event_id, f"run {row.run_id}" if row.run_id else "a request")
        if broker_rest or not _is_queued(row):
            waits = InboxEvent.objects.filter(pk=row.pk, state=InboxEvent.State.PENDING, due_at__isnull=False)
            waits.update(due_at=clock.now())


def _is_queued(row: InboxEvent) -> bool:
    """Queue the work of a row, if it has any for a worker; returns False if Redis is down."""
    try:
        if row.type == REPLAY_REQUESTED:
            dispatch_turn(Turn(row.pk, row.claims))
        elif row.type not in REQUESTS:
            # What a seek has brought again waits behind all that is new.
            again = row.seek is not None
            dispatch(row.run_id, LIVE_SECONDS if row.type in inbox.LIVE and not again else 0, LATER if again else SOON)
    except OperationalError as error:
        counts.failed("redis")
        broker_rest.begin()
        log.error("Redis is down, the sweep will queue event %s: %s", row.event_id, error)
        return False
    return True


def _as_message(message: Any) -> Message:
    return Message(message.message_id, message.data, dict(message.attributes), message.publish_time)
