"""Publishes the messages of a storm at their times, each again until Pub/Sub has taken it."""

from __future__ import annotations

import heapq
import threading
import time
from concurrent.futures import Future
from typing import Any

import grpc
from google.api_core.exceptions import GoogleAPIError
from google.cloud import pubsub_v1
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

from chaos.runs import Message

TOPIC = "projects/warmboard-local/topics/warmboard-runs"
AGAIN_SECONDS = 1.0


class Publisher(threading.Thread):
    """``begin`` is the storm's start by ``time.monotonic``. Ends when every message was taken, or at ``stop``."""

    def __init__(self, host: str, messages: list[Message], begin: float) -> None:
        super().__init__(name="publisher", daemon=True)
        channel = grpc.insecure_channel(host, options=[("grpc.max_send_message_length", -1)])
        self._client = pubsub_v1.PublisherClient(
            transport=PublisherGrpcTransport(channel=channel),
            batch_settings=pubsub_v1.types.BatchSettings(max_messages=1),
        )
        self._begin = begin
        self._waiting = [(message.at, number) for number, message in enumerate(messages)]
        heapq.heapify(self._waiting)
        self._messages = messages
        self._sent: dict[int, Future[str]] = {}
        self._over = threading.Event()
        self.repeated = 0
        """How many messages were published again, because it was not known whether they were taken."""

    @property
    def left(self) -> int:
        """The number of messages that were not taken yet."""
        return len(self._waiting) + len(self._sent)

    def run(self) -> None:
        while (self._waiting or self._sent) and not self._over.is_set():
            passed = time.monotonic() - self._begin
            while self._waiting and self._waiting[0][0] <= passed:
                self._publish(heapq.heappop(self._waiting)[1])
            for number, future in list(self._sent.items()):
                if future.done():
                    self._settle(number, future, passed)
            self._over.wait(0.05)

    def stop(self) -> None:
        self._over.set()
        self.join()

    def _publish(self, number: int) -> None:
        message = self._messages[number]
        future: Any = self._client.publish(TOPIC, message.data, **message.attributes)
        self._sent[number] = future

    def _settle(self, number: int, future: Future[str], passed: float) -> None:
        del self._sent[number]
        try:
            future.result()
        except GoogleAPIError:
            self.repeated += 1
            heapq.heappush(self._waiting, (passed + AGAIN_SECONDS, number))
