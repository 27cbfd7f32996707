"""The subscriber: streaming pull → inbox → commit → ack → hand to Celery. A process of its own: gRPC and Celery's
prefork do not mix.

Acknowledgement has two rules. A message that is in the inbox, readable or not, is acked. One that the database would
not take is nacked and comes again.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

from django.db import DatabaseError, close_old_connections
from google.api_core.exceptions import AlreadyExists, GoogleAPICallError
from google.cloud import pubsub_v1
from google.protobuf.duration_pb2 import Duration
from kombu.exceptions import OperationalError

from store.models import InboxEvent
from workers import inbox
from workers.app import dispatch
from workers.settings import Settings

log = logging.getLogger(__name__)
HEARTBEAT_SECONDS = 2
FIRST_PAUSE, LONGEST_PAUSE = 1, 60
# A short lease extension: after a subscriber was killed its messages come again within seconds.
FLOW = pubsub_v1.types.FlowControl(max_messages=100, max_duration_per_lease_extension=10)


def subscribe(settings: Settings, stop: threading.Event) -> None:
    """Listens until ``stop`` is set. A stream that breaks is opened again, with growing pauses."""
    with pubsub_v1.SubscriberClient() as client:
        path = client.subscription_path(settings.project, settings.subscription)
        if settings.pubsub_emulator_host:
            create_subscription(settings)
        pause = FIRST_PAUSE
        while not stop.is_set():
            stream = client.subscribe(path, callback=receive, flow_control=FLOW)
            log.info("listening on %s", path)
            error = _watch(stream, settings, stop)
            if error is None:
                pause = FIRST_PAUSE
                continue
            log.error("the stream from %s broke, opening it again in %d s: %s", path, pause, error)
            stop.wait(pause)
            pause = min(LONGEST_PAUSE, pause * 2)


def receive(message: Any) -> None:
    """What happens to one message. Every acknowledgement rule is here."""
    close_old_connections()
    try:
        row = inbox.record(
            inbox.Message(message.message_id, message.data, dict(message.attributes), message.publish_time)
        )
    except DatabaseError as error:
        log.error("message %s could not be written to the inbox, it will come again: %s", message.message_id, error)
        message.nack()
        return
    message.ack()
    if row is None:
        log.info("message %s carries an event that is in the inbox already", message.message_id)
    elif row.state == InboxEvent.State.UNREADABLE:
        log.warning("message %s is no run event, kept as inbox row %d: %s", message.message_id, row.pk, row.reason)
    else:
        log.info("event %s of run %s is in the inbox", row.event_id, row.run_id)
        _dispatch(row.run_id)


def create_subscription(settings: Settings) -> None:
    """Makes topic and subscription where they are missing: on an emulator. In the cloud deployment makes them."""
    publisher, subscriber = pubsub_v1.PublisherClient(), pubsub_v1.SubscriberClient()
    topic = publisher.topic_path(settings.project, settings.topic)
    path = subscriber.subscription_path(settings.project, settings.subscription)
    try:
        publisher.create_topic(request={"name": topic, "message_retention_duration": Duration(seconds=7 * 86_400)})
    except AlreadyExists:
        log.debug("topic %s exists", topic)
    try:
        subscriber.create_subscription(
            request={
                "name": path,
                "topic": topic,
                "ack_deadline_seconds": 10,
                "retain_acked_messages": True,
                "retry_policy": {"minimum_backoff": Duration(seconds=1), "maximum_backoff": Duration(seconds=60)},
            }
        )
    except AlreadyExists:
        log.debug("subscription %s exists", path)


def _watch(stream: Any, settings: Settings, stop: threading.Event) -> Exception | None:
    """Waits on the stream, touching the heartbeat; returns what broke it, None after a stop."""
    while not stop.is_set():
        try:
            stream.result(timeout=HEARTBEAT_SECONDS)
        except FutureTimeout:
            settings.heartbeat.parent.mkdir(parents=True, exist_ok=True)
            settings.heartbeat.touch()
        except GoogleAPICallError as error:
            broken: Exception = error
            return broken
    stream.cancel()
    stream.result()
    return None


def _dispatch(run_id: str) -> None:
    try:
        dispatch(run_id)
    except OperationalError as error:
        log.error("Redis is away, the sweep will hand out run %s: %s", run_id, error)
