"""Publish a request to Pub/Sub. Only the POSTs of ``operations/views.py`` and ``subscription.py`` use it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from django.conf import settings

from warmboard.contract.replay import ReplayRequest
from warmboard.contract.subscription import SubscriptionRequest

DEADLINE_SECONDS = 5.0


class PublishError(Exception):
    """Pub/Sub has not confirmed the message within the timeout; the text says why."""


@dataclass(frozen=True)
class Topic:
    """The topic of requests."""

    project: str
    name: str
    emulator_host: str | None

    @classmethod
    def configured(cls) -> Self:
        return cls(settings.GOOGLE_CLOUD_PROJECT, settings.PUBSUB_TOPIC, settings.PUBSUB_EMULATOR_HOST)

    def publish(self, request: ReplayRequest | SubscriptionRequest, deadline: float = DEADLINE_SECONDS) -> None:
        """Publish the request, and return when Pub/Sub has confirmed it. It is idempotent: it can be published again.

        Raises PublishError if Pub/Sub has not confirmed it within ``deadline`` seconds.
        """
        # Imported here: gRPC takes a second to load, and its threads don't survive a fork.
        from google.api_core.exceptions import GoogleAPIError
        from google.api_core.retry import Retry
        from google.auth.exceptions import GoogleAuthError

        data, attributes = request.encode()
        message = {"data": data, "attributes": attributes}
        path = f"projects/{self.project}/topics/{self.name}"
        try:
            # A new connection for each: replays are rare, and an idle one is slow to notice that Pub/Sub is back.
            with self._client() as client:
                client.publish(topic=path, messages=[message], retry=Retry(timeout=deadline), timeout=deadline)
        except (GoogleAPIError, GoogleAuthError, OSError) as error:
            raise PublishError(str(error) or type(error).__name__) from error

    def _client(self) -> Any:
        from google.pubsub_v1 import PublisherClient
        from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
        from grpc import insecure_channel

        if self.emulator_host:
            return PublisherClient(transport=PublisherGrpcTransport(channel=insecure_channel(self.emulator_host)))
        return PublisherClient()
