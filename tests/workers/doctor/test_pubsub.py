"""What is said of Pub/Sub: the embedded server, and Google's refusals over a real channel."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent import futures
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.cloud import pubsub_v1
from google.iam.v1 import iam_policy_pb2
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport
from google.pubsub_v1.types import Subscription

from deploy.local.process import free_port
from tests.paths import ROOT
from tests.workers.doctor.seen import problems, the_failure, the_warning
from workers.doctor import pubsub
from workers.doctor.finding import Finding, Given
from workers.settings import Settings
from workers.subscriber import create_subscription

GOOGLE = Settings.read({"GOOGLE_CLOUD_PROJECT": "shop"})


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An embedded server's address: half a second, and the only one of this file."""
    data = tmp_path_factory.mktemp("pubsub") / "data.sqlite3"
    line = [sys.executable, "-m", "deploy.local.pubsub", "--port=0", f"--data={data}"]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        [address] = re.findall(r"ready on ([\w.]+:\d+)", process.stdout.readline())
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PUBSUB_EMULATOR_HOST", address)
            create_subscription(Settings.read({"PUBSUB_EMULATOR_HOST": address}))
            yield address
        process.terminate()


def look(address: str, **more: str) -> list[Finding]:
    settings = Settings.read({"PUBSUB_EMULATOR_HOST": address, **more})
    return list(pubsub.look(Given({}, settings)))


def test_what_the_subscriber_creates_is_fine(embedded: str) -> None:
    found = look(embedded)
    assert problems(found) == []
    assert "the topic warmboard-runs exists" in found[0].text


def test_a_missing_topic_and_subscription_are_named(embedded: str) -> None:
    found = look(embedded, PUBSUB_TOPIC="other", PUBSUB_SUBSCRIPTION="none")
    assert [finding.text for finding in found] == [
        "the topic other does not exist in project warmboard-local",
        "the subscription none does not exist in project warmboard-local",
    ]
    assert "Start the subscriber" in found[0].fix


def test_a_subscription_of_another_topic(embedded: str) -> None:
    publisher = pubsub_v1.PublisherClient()
    publisher.create_topic(name=publisher.topic_path("warmboard-local", "second"))
    text = the_failure(look(embedded, PUBSUB_TOPIC="second"))
    assert "belongs to another topic, projects/warmboard-local/topics/warmboard-runs" in text
    assert "correct PUBSUB_TOPIC" in text


def test_no_emulator_at_the_address() -> None:
    text = the_failure(look(f"127.0.0.1:{free_port()}"))
    assert "no emulator answers at 127.0.0.1:" in text
    assert "PUBSUB_EMULATOR_HOST" in text


def test_an_emulator_that_takes_connections_and_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pubsub, "SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", address)
        text = the_failure(look(address))
    assert text.startswith("the topic warmboard-runs can't be read: 504")
    assert f"Restart the emulator at {address}" in text


def test_google_without_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    assert "there are no credentials" in the_failure(pubsub.look(Given({}, GOOGLE)))


@pytest.mark.parametrize(
    ("change", "level", "words"),
    [
        ({"topic": "_deleted-topic_"}, the_failure, "was deleted"),
        ({"detached": True}, the_failure, "is detached"),
        ({"push_config": {"push_endpoint": "https://x.example"}}, the_failure, "pushes its messages to https://x"),
        ({"filter": 'attributes.a = "b"'}, the_warning, "has the filter"),
        ({"retain_acked_messages": False}, the_warning, "seeking back in time replays nothing"),
        ({"ack_deadline_seconds": 600}, the_warning, "ack deadline is 600 s"),
        ({"expiration_policy": {"ttl": timedelta(days=31)}}, the_warning, "deleted after 31 days"),
    ],
)
def test_a_subscription_that_loses_messages(change: dict[str, Any], level: Any, words: str) -> None:
    topic = "projects/shop/topics/warmboard-runs"
    fine = {"topic": topic, "retain_acked_messages": True, "ack_deadline_seconds": 10}
    assert problems(pubsub._described(Subscription(**fine), topic, GOOGLE)) == []
    assert words in level(pubsub._described(Subscription(**{**fine, **change}), topic, GOOGLE))


@pytest.fixture
def forbidding() -> Iterator[Any]:
    """A client of a server that shows nothing, and names the permissions in its ``allowed``."""
    allowed: list[str] = []

    def refuse(request: bytes, context: Any) -> None:
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "User not authorized to perform this action.")

    def test(request: Any, context: Any) -> Any:
        return iam_policy_pb2.TestIamPermissionsResponse(permissions=allowed)

    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(
                "google.pubsub.v1.Subscriber", {"GetSubscription": grpc.unary_unary_rpc_method_handler(refuse)}
            ),
            grpc.method_handlers_generic_handler(
                "google.iam.v1.IAMPolicy",
                {
                    "TestIamPermissions": grpc.unary_unary_rpc_method_handler(
                        test,
                        iam_policy_pb2.TestIamPermissionsRequest.FromString,
                        iam_policy_pb2.TestIamPermissionsResponse.SerializeToString,
                    )
                },
            ),
        )
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with (
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
        pubsub_v1.SubscriberClient(transport=SubscriberGrpcTransport(channel=channel)) as client,
    ):
        client.allowed = allowed
        yield client
    server.stop(None)


def test_an_identity_that_may_not_look_or_receive(forbidding: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = forbidding.subscription_path("shop", "warmboard-workers")
    found = list(pubsub._subscription(forbidding, path, "projects/shop/topics/warmboard-runs", GOOGLE))
    assert "may not see the subscription warmboard-workers" in the_warning(found)
    assert "may not receive messages" in the_failure(found)
    assert "--role=roles/pubsub.subscriber" in the_failure(found)
    forbidding.allowed.append(pubsub.CONSUME)
    again = list(pubsub._subscription(forbidding, path, "projects/shop/topics/warmboard-runs", GOOGLE))
    assert [finding.level.value for finding in again] == ["warning"]
