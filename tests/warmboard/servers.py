"""Fake servers for tests: MLflow as a transport, Pub/Sub as a gRPC server."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from google.pubsub_v1.types import PublishRequest, PublishResponse

from tests.warmboard.wire import Answer, Asked, error
from warmboard.settings import Settings


class FakeMlflow:
    """Answers the requests of a run, and fails or rejects them on demand. A handler for `Wire`."""

    def __init__(self) -> None:
        self.away = False
        self.refuses = False
        self.deleted = False

    def __call__(self, asked: Asked) -> Answer | Exception:
        if self.away:
            return Answer(503)
        if self.refuses:
            return Answer(403)
        if self.deleted:
            return error(400, "INVALID_PARAMETER_VALUE", "The run must be in the 'active' state.")
        if asked.route == "experiments/get-by-name":
            return Answer(200, {"experiment": {"experiment_id": "7"}})
        if asked.route == "runs/create":
            return Answer(200, {"run": {"info": {"run_id": "r1"}}})
        return Answer()


class FakePubsub:
    """Accepts messages; with a status code set, rejects them."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.topics: list[str] = []
        self.refuse_with: grpc.StatusCode | None = None
        self.address = ""

    def publish(self, request: Any, context: grpc.ServicerContext) -> Any:
        if self.refuse_with:
            context.abort(self.refuse_with, "rejected by the test")
        self.topics.append(request.topic)
        self.messages.extend(request.messages)
        return PublishResponse(message_ids=[str(len(self.messages))])


@contextmanager
def pubsub_server() -> Iterator[FakePubsub]:
    fake = FakePubsub()
    method = grpc.unary_unary_rpc_method_handler(
        fake.publish, request_deserializer=PublishRequest.deserialize, response_serializer=PublishResponse.serialize
    )
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("google.pubsub.v1.Publisher", {"Publish": method})]
    )
    fake.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield fake
    server.stop(None)


def settings(output: str, pubsub: str, mlflow: str = "http://mlflow.test:5000", **more: str) -> Settings:
    """Return the settings of a training. By default, SPOOL_DIR is a folder in the output."""
    environ = {
        "MLFLOW_TRACKING_URI": mlflow,
        "MLFLOW_READY_SECONDS": "0",
        "PUBSUB_EMULATOR_HOST": pubsub,
        "OUTPUT_URI": output,
        "SPOOL_DIR": f"{output}/spool",
    }
    return Settings.read({**environ, **more})
