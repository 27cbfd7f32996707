"""The way out of the webapp to Pub/Sub: a replay request. Only a POST of ``operations/views.py`` comes here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from django.conf import settings

from warmboard.contract.replay import ReplayRequest

DEADLINE_SECONDS = 5.0


class PublishError(Exception):
    """Pub/Sub did not take the message, or has not said so in time; the text says why."""


@dataclass(frozen=True)
class Topic:
    """Where requests go."""

    project: str
    name: str
    emulator_host: str | None

    @classmethod
    def configured(cls) -> Self:
        return cls(settings.GOOGLE_CLOUD_PROJECT, settings.PUBSUB_TOPIC, settings.PUBSUB_EMULATOR_HOST)

    def publish(self, request: ReplayRequest, deadline: float = DEADLINE_SECONDS) -> None:
        """Returns when Pub/Sub has the request. Publishing the same one again makes no second one.

        Raises PublishError when Pub/Sub has not taken it within ``deadline`` seconds.
        """
        # Imported here: gRPC takes a second, and no fork or process of ours should find its threads.
        from google.api_core.exceptions import GoogleAPIError
        from google.api_core.retry import Retry
        from google.auth.exceptions import GoogleAuthError

        data, attributes = request.encode()
        message = {"data": data, "attributes": attributes}
        path = f"projects/{self.project}/topics/{self.name}"
        try:
            # A connection for each: replays are rare, and one that is kept is slow to notice that Pub/Sub is back.
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
