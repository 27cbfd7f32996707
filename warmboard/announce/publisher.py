"""Writes ``mlflow_info.json`` and publishes run events on Pub/Sub."""

from __future__ import annotations

import importlib
from types import TracebackType
from typing import Any, Self

from warmboard import storage
from warmboard.announce.tracing import publishing
from warmboard.contract.events import RunEvent
from warmboard.contract.info import FILE_NAME, RunInfo
from warmboard.errors import PublishError
from warmboard.settings import Settings

DEADLINE_SECONDS = 30.0


def info_uri(info: RunInfo, settings: Settings) -> str:
    """Return the URI of this run's file: ``OUTPUT_URI/{run_id}/mlflow_info.json``."""
    return storage.join(settings.output_uri, info.run_id, FILE_NAME)


def write_info(info: RunInfo, settings: Settings, within: float = storage.TIMEOUT_SECONDS) -> str:
    """Write the run's ``mlflow_info.json`` and return its URI. ``within`` is in seconds. Raises StorageError."""
    uri = info_uri(info, settings)
    storage.write(uri, info.encode(), settings.storage_emulator_host, within=within)
    return uri


def preload() -> None:
    """Import gRPC and Google's client, which takes a second. Call it in the thread that imports TensorFlow."""
    importlib.import_module("grpc")
    importlib.import_module("google.cloud.pubsub_v1")


class Publisher:
    """A connection to the topic of run events. As a context manager, it closes itself."""

    def __init__(self, settings: Settings) -> None:
        """Raises PublishError if there are no credentials."""
        # Imported here: gRPC takes a second to import and starts threads, which not every user of the library needs.
        import grpc
        from google.cloud import pubsub_v1
        from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

        self._collector = settings.traces_collector
        self.topic = f"projects/{settings.google_cloud_project}/topics/{settings.pubsub_topic}"
        # Each message is sent at once, in a batch of its own.
        one = pubsub_v1.types.BatchSettings(max_messages=1)
        try:
            if settings.pubsub_emulator_host:
                channel = grpc.insecure_channel(settings.pubsub_emulator_host)
                self._client = pubsub_v1.PublisherClient(one, transport=PublisherGrpcTransport(channel=channel))
            else:
                self._client = pubsub_v1.PublisherClient(one)
        except Exception as error:  # credentials fail in many ways, such as a folder in place of the file
            raise PublishError(
                f"No credentials for Google's Pub/Sub, and PUBSUB_EMULATOR_HOST is unset: {error}"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def publish(self, event: RunEvent, deadline: float = DEADLINE_SECONDS) -> str:
        """Publish the event and return its message ID in Pub/Sub.

        Raises PublishError if Pub/Sub has not accepted it within ``deadline`` seconds.
        """
        from google.api_core.retry import Retry

        data, attributes = event.encode()
        try:
            with publishing(event, self._collector) as context:
                sending: Any = self._client.publish(
                    self.topic, data, retry=Retry(timeout=deadline), timeout=deadline, **attributes, **context
                )
                return str(sending.result(timeout=deadline))
        except Exception as error:  # gRPC, authentication and timeouts have no base class in common
            reason = str(error) or type(error).__name__
            raise PublishError(f"Pub/Sub did not accept the event for topic {self.topic}: {reason}") from error

    def close(self) -> None:
        self._client.transport.close()


def publish(event: RunEvent, settings: Settings, deadline: float = DEADLINE_SECONDS) -> str:
    """Publish one event over a connection of its own; see `Publisher.publish`."""
    with Publisher(settings) as publisher:
        return publisher.publish(event, deadline)
