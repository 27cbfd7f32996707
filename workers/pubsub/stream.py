"""One streaming pull, on a connection that is watched.

A server that is suspended, or a proxy that swallows everything, leaves a stream open that brings nothing. So a quiet
stream's connection is asked something that any server answers at once, and with the least permission. That needs no
message on the topic, which other subscribers would get.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from typing import Any

from google.api_core.exceptions import ClientError, GoogleAPIError, NotFound, PermissionDenied, Unauthenticated
from google.cloud import pubsub_v1
from google.cloud.pubsub_v1.subscriber.scheduler import ThreadScheduler

from workers.pubsub.clients import SECONDS

BROKEN = (NotFound, PermissionDenied, Unauthenticated)
"""What a server answers whose stream brings nothing either."""
QUIET_SECONDS = 5.0
"""A stream that has brought nothing for this time is asked."""
CLOSE_SECONDS = 5.0
FLOW = pubsub_v1.types.FlowControl(
    max_messages=100,
    # Three of the largest messages, and many small ones beside them.
    max_bytes=32 * 2**20,
    # The messages of a killed subscriber come again within seconds.
    max_duration_per_lease_extension=10,
)


class Stream:
    """Calls ``receive`` for each message, in ten threads. Raises GoogleAPIError if it can't be opened."""

    def __init__(self, client: Any, path: str, receive: Callable[[Any], None]) -> None:
        self._client, self._path, self._receive = client, path, receive
        self._scheduler = _Scheduler()
        # An open stream alone is no sign of life: the first check asks.
        self._alive_at = -math.inf
        self._pull: Future[None] = client.subscribe(
            path, callback=self._received, flow_control=FLOW, scheduler=self._scheduler
        )

    def check(self) -> None:
        """Ask a new or quiet stream's server for an answer. Raises GoogleAPIError if the stream is broken or its
        connection is dead, if the subscription is gone, or if this identity may not receive its messages.
        """
        if self._pull.done():
            self._pull.result()
        if time.monotonic() - self._alive_at < QUIET_SECONDS:
            return
        try:
            # To acknowledge nothing is an invalid request: the answer is an error, and shows that there is a server.
            self._client.acknowledge(subscription=self._path, ack_ids=[], retry=None, timeout=SECONDS)
        except BROKEN:
            raise
        except ClientError:
            pass
        self._alive_at = time.monotonic()

    def close(self, *, hold: bool = False) -> None:
        """Close the stream. Messages that no thread has taken are nacked, or, with ``hold``, left to their deadline: a
        nack would count as an attempt, and delay them the more the longer an outage lasts.
        """
        self._scheduler.holds = hold
        self._pull.cancel()
        # A dead connection may not close.
        with suppress(FutureTimeout, GoogleAPIError):
            self._pull.result(timeout=CLOSE_SECONDS)

    def _received(self, message: Any) -> None:
        self._alive_at = time.monotonic()
        self._receive(message)


class _Scheduler(ThreadScheduler):
    holds = False

    def shutdown(self, await_msg_callbacks: bool = False) -> list[Any]:
        """Stop; returns the messages to nack."""
        dropped: list[Any] = super().shutdown(await_msg_callbacks)
        return [] if self.holds else dropped
