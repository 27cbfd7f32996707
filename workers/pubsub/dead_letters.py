"""Dead letters: messages that Pub/Sub gave up delivering. They are parked in the inbox, and a redrive takes them up."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

from django.db import DatabaseError, transaction
from google.api_core.exceptions import DeadlineExceeded, NotFound

from store.logs import about
from store.models import InboxEvent
from warmboard.contract.cloudevents import EventError
from workers import inbox, logged
from workers.inbox import Message, State
from workers.pubsub import clients
from workers.pubsub.setup import DEAD_LETTERS, declared
from workers.queue import dispatch_later
from workers.recording.behind import PATIENCE
from workers.recording.text import cut
from workers.settings import Settings

log = logging.getLogger(__name__)
COUNT = "CloudPubSubDeadLetterSourceDeliveryCount"
"""The attribute with the number of deliveries that Pub/Sub has tried."""
PARKED = "dead letter: "
"""The beginning of a parked one's reason."""
BATCH = 20
PULL_SECONDS = 5.0


def collect(settings: Settings) -> int:
    """Park the dead letters that wait in their subscription; returns their number.

    Raises GoogleAPIError, and DatabaseError if the database is down.
    """
    path, parked = declared(settings)[DEAD_LETTERS].name, 0
    with closing(clients.subscriber(settings)) as client:
        while letters := _pull(client, path):
            for letter in letters:
                _park_any(_message(letter.message))
                clients.ask(client.acknowledge, subscription=path, ack_ids=[letter.ack_id])
            parked += len(letters)
    return parked


def park(message: Message) -> InboxEvent | None:
    """Record a dead letter as failed, or, if it is no event, as unreadable. An event that is in the inbox stays as it
    is, or as a seek has reopened it. Returns the new row.

    Raises DatabaseError if the database is down.
    """
    reason = f"{PARKED}Pub/Sub gave up after {message.attributes.get(COUNT, 'too many')} deliveries"
    with transaction.atomic():
        row = inbox.record(message)
        if row is None or row.seek is not None:
            return None
        if row.state == State.PENDING:
            row.state, row.reason, row.due_at = State.FAILED, reason, None
        else:
            row.reason = cut(f"{reason}; {row.reason}")
        row.save(update_fields=["state", "reason", "due_at"])
    with about(**logged.of_event(row)):
        log.error("message %s is parked as inbox row %d: %s", message.message_id, row.pk, row.reason)
    return row


def _park_any(message: Message) -> None:
    try:
        park(message)
    except DatabaseError:
        raise
    except Exception as error:
        # This may be why it is a dead letter.
        log.exception("message %s can't be recorded as an event", message.message_id)
        inbox.record_unreadable(message.numbered(), f"{PARKED}{type(error).__name__}: {error}")


def parked() -> list[str]:
    """The IDs of runs with a parked dead letter."""
    rows = InboxEvent.objects.filter(state=State.FAILED, reason__startswith=PARKED).exclude(run_id="")
    return sorted(set(rows.values_list("run_id", flat=True)))


def readable() -> Iterator[tuple[InboxEvent, Message]]:
    """The messages that were kept as unreadable, and that this version can read."""
    for pk in list(
        InboxEvent.objects.filter(state=State.UNREADABLE, attributes__has_key="ce-type").values_list("pk", flat=True)
    ):
        row = InboxEvent.objects.get(pk=pk)
        message = Message(row.event_id, bytes(row.data), row.attributes, row.published_at)
        with suppress(EventError):
            inbox.read(message)
            yield row, message


def redrive() -> tuple[list[str], int]:
    """Put parked dead letters to work again, behind all events; and those unreadable messages that this version can
    read. Returns the runs, and the number of messages that can be read now.

    Raises DatabaseError, and kombu's OperationalError if Redis is down; the sweep then queues the runs.
    """
    runs, read = dict.fromkeys(parked()), 0
    for row, message in readable():
        event = inbox.record(message)
        row.delete()
        read += 1
        if event and event.run_id:
            runs[event.run_id] = None
    for run_id in runs:
        inbox.reopen(run_id, PATIENCE)
    for run_id in runs:
        dispatch_later(run_id)
    return list(runs), read


def _pull(client: Any, path: str) -> list[Any]:
    try:
        answer = client.pull(request={"subscription": path, "max_messages": BATCH}, retry=None, timeout=PULL_SECONDS)
    except DeadlineExceeded:
        return []
    except NotFound:
        log.warning("there is no subscription %s for dead letters: `python -m workers setup` creates it", path)
        return []
    return list(answer.received_messages)


def _message(message: Any) -> Message:
    return Message(message.message_id, bytes(message.data), dict(message.attributes), message.publish_time)
