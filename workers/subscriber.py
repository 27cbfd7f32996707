"""The subscriber: streaming pull → inbox → commit → ack → queue. It has its own process: gRPC and Celery's prefork do
not mix.

A message that is in the inbox, readable or not, is acked. If the database is down, it is nacked and comes again.
"""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from typing import Any

from django.db import DatabaseError, close_old_connections
from google.api_core.exceptions import AlreadyExists, GoogleAPIError
from google.cloud import pubsub_v1
from google.protobuf.duration_pb2 import Duration
from kombu.exceptions import OperationalError

from store.durable import commit_durably
from store.models import InboxEvent
from warmboard.contract.replay import REPLAY_REQUESTED
from workers import inbox
from workers.backoff import backoff
from workers.heartbeat import touch
from workers.queue import LIVE_SECONDS, Turn, dispatch, dispatch_turn, give_up_on_slow_broker
from workers.settings import Settings

log = logging.getLogger(__name__)
HEARTBEAT_SECONDS = 2
LONGEST_PAUSE = 30.0
# A short lease extension: the messages of a killed subscriber come again within seconds.
FLOW = pubsub_v1.types.FlowControl(max_messages=100, max_duration_per_lease_extension=10)


def subscribe(settings: Settings, stop: threading.Event) -> None:
    """Listen until ``stop`` is set. Opens a broken stream again, with back-off."""
    commit_durably()
    give_up_on_slow_broker()
    with pubsub_v1.SubscriberClient() as client:
        path = client.subscription_path(settings.project, settings.subscription)
        failures = 0
        while not stop.is_set():
            begin = time.monotonic()
            try:
                _listen(client, path, settings, stop)
            except GoogleAPIError as error:
                lasted = time.monotonic() - begin
                failures = 1 if lasted > LONGEST_PAUSE else failures + 1
                pause = backoff(failures, longest=LONGEST_PAUSE)
                log.error("the stream from %s broke, reconnecting in %.1f s: %s", path, pause, error)
                stop.wait(pause)


def receive(message: Any) -> None:
    """Record one message in the inbox, ack or nack it, and queue its work."""
    close_old_connections()
    try:
        row = inbox.record(
            inbox.Message(message.message_id, message.data, dict(message.attributes), message.publish_time)
        )
    except DatabaseError as error:
        log.error("message %s not written to the inbox, it will come again: %s", message.message_id, error)
        message.nack()
        return
    message.ack()
    if row is None:
        log.info("the event of message %s is in the inbox already", message.message_id)
    elif row.state == InboxEvent.State.UNREADABLE:
        log.warning("message %s is not an event, kept as inbox row %d: %s", message.message_id, row.pk, row.reason)
    else:
        log.info("event %s is in the inbox, for %s", row.event_id, f"run {row.run_id}" if row.run_id else "a replay")
        _dispatch(row)


def create_subscription(settings: Settings) -> None:
    """Create topic and subscription if they are missing: on an emulator. In the cloud, the deployment creates them."""
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


def _listen(client: Any, path: str, settings: Settings, stop: threading.Event) -> None:
    """Serve one stream until ``stop`` is set. Raises GoogleAPIError if it breaks."""
    if settings.pubsub_emulator_host:
        # Before every stream: a restarted emulator may have lost them.
        create_subscription(settings)
    stream = client.subscribe(path, callback=receive, flow_control=FLOW)
    log.info("listening on %s", path)
    try:
        while not (stop.is_set() or stream.done()):
            with suppress(FutureTimeout):
                stream.result(timeout=HEARTBEAT_SECONDS)
            touch(settings.subscriber_heartbeat)
    finally:
        stream.cancel()
    stream.result()


def _dispatch(row: InboxEvent) -> None:
    try:
        if row.type == REPLAY_REQUESTED:
            dispatch_turn(Turn(row.pk, row.claims))
        else:
            dispatch(row.run_id, LIVE_SECONDS if row.type in inbox.LIVE else 0)
    except OperationalError as error:
        log.error("Redis is down, the sweep will queue event %s: %s", row.event_id, error)
