"""Telling the world that a run has ended: ``mlflow_info.json`` first, then the run-completed event.

``python -m trainer.publish URI_OF_MLFLOW_INFO`` publishes the event of an earlier run again, for when Pub/Sub was away.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from contract.events import RunEvent, RunStatus, format_time
from contract.settings import SettingError
from trainer import storage
from trainer.errors import PublishError, TrainerError
from trainer.settings import Settings

FILE_NAME = "mlflow_info.json"
DEADLINE_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """What there is to say about a run that has ended: the content of ``mlflow_info.json``."""

    run_id: str
    run_name: str
    tracking_uri: str
    tracking_server: str
    experiment_id: str
    experiment_name: str
    status: RunStatus
    epochs: int
    end_time: datetime
    quick_test_id: int | None = None

    def encode(self) -> bytes:
        document = {**asdict(self), "status": self.status.value, "end_time": format_time(self.end_time)}
        return json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"

    @classmethod
    def decode(cls, data: bytes) -> RunInfo:
        """Raises PublishError when the file is none of ours."""
        try:
            document = json.loads(data)
            document["status"] = RunStatus(document["status"])
            document["end_time"] = datetime.fromisoformat(document["end_time"]).astimezone(UTC)
            return cls(**document)
        except (KeyError, TypeError, ValueError) as error:
            raise PublishError(f"not a {FILE_NAME} of this program: {error}") from error

    def event(self, info_uri: str | None) -> RunEvent:
        return RunEvent.completed(
            run_id=self.run_id,
            tracking_server=self.tracking_server,
            experiment_name=self.experiment_name,
            status=self.status,
            end_time=self.end_time,
            epochs=self.epochs,
            quick_test_id=self.quick_test_id,
            mlflow_info_uri=info_uri,
        )


def write_info(info: RunInfo, settings: Settings) -> str:
    """Writes ``OUTPUT_URI/{run_id}/mlflow_info.json`` and returns its URI. Raises StorageError."""
    uri = storage.join(settings.output_uri, info.run_id, FILE_NAME)
    storage.write(uri, info.encode(), settings.storage_emulator_host)
    return uri


def publish(event: RunEvent, settings: Settings, deadline: float = DEADLINE_SECONDS) -> str:
    """Publishes the event and returns the message ID that Pub/Sub gave it.

    Raises PublishError when Pub/Sub has not accepted it within ``deadline`` seconds.
    """
    # Imported here: gRPC takes a second, and threads that a library user may not want.
    import grpc
    from google.api_core.retry import Retry
    from google.cloud import pubsub_v1
    from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

    topic = f"projects/{settings.google_cloud_project}/topics/{settings.pubsub_topic}"
    data, attributes = event.encode()
    try:
        # One message is all there is: no waiting for more.
        one = pubsub_v1.types.BatchSettings(max_messages=1)
        if settings.pubsub_emulator_host:
            channel = grpc.insecure_channel(settings.pubsub_emulator_host)
            client = pubsub_v1.PublisherClient(one, transport=PublisherGrpcTransport(channel=channel))
        else:
            client = pubsub_v1.PublisherClient(one)
        sending = client.publish(topic, data, retry=Retry(timeout=deadline), timeout=deadline, **attributes)
        return str(sending.result(timeout=deadline))
    except Exception as error:  # gRPC, authentication and timeouts have no base class in common
        reason = str(error) or type(error).__name__
        raise PublishError(f"Pub/Sub did not take the event for topic {topic}: {reason}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m trainer.publish", description="Publish the run-completed event of an earlier run again."
    )
    parser.add_argument("uri", help=f"the run's {FILE_NAME}: a path or gs://…")
    uri = parser.parse_args(arguments).uri
    try:
        settings = Settings.read()
        info = RunInfo.decode(storage.read(uri, settings.storage_emulator_host))
        message = publish(info.event(uri if "://" in uri else storage.join(uri)), settings)
    except (TrainerError, SettingError) as error:
        print(f"Not published. {error}", file=sys.stderr)
        return 1
    print(f"Published run {info.run_id} ({info.status}) as message {message}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
