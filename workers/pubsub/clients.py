"""Google's clients. They take messages of any size: gRPC's default limit is 4 MB, Pub/Sub's is 10."""

from __future__ import annotations

from functools import partial
from typing import Any

import grpc
from google.api_core.exceptions import GoogleAPIError, NotFound
from google.cloud.pubsub_v1 import SubscriberClient
from google.pubsub_v1 import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from workers.settings import Settings

SECONDS = 15.0
"""How long one question to Pub/Sub may take."""
OWN_CONNECTION = ("grpc.use_local_subchannel_pool", 1)
"""Clients to one address share a connection by default, and with it its death."""
CHANNEL = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), OWN_CONNECTION]

__all__ = ["SECONDS", "GoogleAPIError", "NotFound", "ask", "publisher", "subscriber"]


def subscriber(settings: Settings) -> Any:
    """A client of subscriptions and snapshots, with a connection of its own."""
    if settings.pubsub_emulator_host:
        channel = grpc.insecure_channel(settings.pubsub_emulator_host, options=CHANNEL)
        return SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
    return SubscriberClient(transport=partial(SubscriberGrpcTransport, channel=_own_channel))


def publisher(settings: Settings) -> Any:
    """A client of topics, with a connection of its own."""
    if settings.pubsub_emulator_host:
        channel = grpc.insecure_channel(settings.pubsub_emulator_host, options=CHANNEL)
        return PublisherClient(transport=PublisherGrpcTransport(channel=channel))
    return PublisherClient()


def ask(method: Any, **request: Any) -> Any:
    """Call a method once, within `SECONDS`. Raises GoogleAPIError."""
    return method(request=request, retry=None, timeout=SECONDS)


def _own_channel(*arguments: Any, options: Any = (), **more: Any) -> grpc.Channel:
    """A channel to Google, as its transports make them, with a connection of its own."""
    return SubscriberGrpcTransport.create_channel(*arguments, options=[*options, OWN_CONNECTION], **more)
