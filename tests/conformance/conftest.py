"""Pub/Sub servers, and a test's view of one."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import grpc
import pytest
from google.api_core import exceptions
from google.cloud import pubsub_v1
from google.pubsub_v1.services.publisher import PublisherClient as PlainPublisher
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from deploy.local.pubsub import google
from tests.paths import ROOT
from tests.waiting import PATIENCE

PROJECT = "projects/conformance"
QUIET = 0.2  # Seconds to wait before checking that nothing came.
CHANNEL = [  # Like the client library's own channels, but reconnecting soon after a restart.
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
]


class Bus:
    """A test's view of one server: the real clients, unique names, and shorthands."""

    def __init__(self, address: str, process: subprocess.Popen[Any]) -> None:
        self.address, self._process = address, process
        self.channel = grpc.insecure_channel(address, options=CHANNEL)
        self.publisher = pubsub_v1.PublisherClient(transport=PublisherGrpcTransport(channel=self.channel))
        self.plain_publisher = PlainPublisher(transport=PublisherGrpcTransport(channel=self.channel))
        self.subscriber = pubsub_v1.SubscriberClient(transport=SubscriberGrpcTransport(channel=self.channel))

    def name(self, kind: str) -> str:
        return f"{PROJECT}/{kind}s/{kind}-{uuid.uuid4().hex}"

    def topic(self, **config: Any) -> str:
        return str(self.publisher.create_topic(request={"name": self.name("topic"), **config}).name)

    def subscription(self, topic: str, **config: Any) -> str:
        request = {"name": self.name("subscription"), "topic": topic, **config}
        return str(self.subscriber.create_subscription(request=request).name)

    def snapshot(self, subscription: str) -> str:
        request = {"name": self.name("snapshot"), "subscription": subscription}
        return str(self.subscriber.create_snapshot(request=request).name)

    def pair(self, **config: Any) -> tuple[str, str]:
        """A new topic and a subscription to it."""
        topic = self.topic()
        return topic, self.subscription(topic, **config)

    def publish(self, topic: str, *data: str, key: str = "", **attributes: str) -> list[str]:
        """Publish in one request, which the batching `publish` of `publisher` doesn't guarantee; return the IDs."""
        messages = [{"data": text.encode(), "ordering_key": key, "attributes": attributes} for text in data]
        request = {"topic": topic, "messages": messages}
        return list(self.plain_publisher.publish(request=request).message_ids)

    def pull(self, subscription: str, count: int) -> list[Any]:
        """Wait until `count` messages came."""
        received: list[Any] = []
        end = time.monotonic() + PATIENCE
        while len(received) < count and time.monotonic() < end:
            request = {"subscription": subscription, "max_messages": count - len(received)}
            try:
                received += self.subscriber.pull(request=request, timeout=5, retry=None).received_messages
            except exceptions.DeadlineExceeded:
                continue
        assert len(received) == count, f"{len(received)} of {count} messages came"
        return received

    def texts(self, subscription: str, count: int) -> list[str]:
        """Wait for `count` messages, ack them and return their texts, sorted."""
        received = self.pull(subscription, count)
        self.ack(subscription, received)
        return sorted(entry.message.data.decode() for entry in received)

    def is_quiet(self, subscription: str) -> bool:
        """Whether no message comes for a short while."""
        time.sleep(QUIET)
        return not self.pull_at_once(subscription)

    def pull_at_once(self, subscription: str) -> list[Any]:
        request = {"subscription": subscription, "max_messages": 10, "return_immediately": True}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # The flag is deprecated, but right here.
            return list(self.subscriber.pull(request=request, timeout=PATIENCE).received_messages)

    def ack(self, subscription: str, received: list[Any]) -> None:
        ack_ids = [entry.ack_id for entry in received]
        self.subscriber.acknowledge(request={"subscription": subscription, "ack_ids": ack_ids})

    def lease(self, subscription: str, received: list[Any], seconds: int) -> None:
        """Modify the ack deadlines; 0 seconds is a nack."""
        ack_ids = [entry.ack_id for entry in received]
        request = {"subscription": subscription, "ack_ids": ack_ids, "ack_deadline_seconds": seconds}
        self.subscriber.modify_ack_deadline(request=request)

    @contextmanager
    def subscribed(self, subscription: str, callback: Callable[[Any], None], **flow: Any) -> Iterator[None]:
        """A StreamingPull of the real client with a callback."""
        control = pubsub_v1.types.FlowControl(**flow)
        future = self.subscriber.subscribe(subscription, callback=callback, flow_control=control)
        try:
            yield
        finally:
            future.cancel()
            future.result(timeout=PATIENCE)

    def collect(self, subscription: str, count: int) -> list[Any]:
        """Consume with the real client's callback until `count` different messages were acked, in callback order."""
        messages: list[Any] = []
        enough = threading.Event()

        def callback(message: Any) -> None:
            messages.append(message)
            message.ack()
            if len({each.message_id for each in messages}) >= count:
                enough.set()

        with self.subscribed(subscription, callback):
            assert enough.wait(2 * PATIENCE), f"{len(messages)} of {count} messages came"
        return messages

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """The server is stopped, with its connections open."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self.publisher.stop()
        self.subscriber.close()
        self.channel.close()


class Embedded:
    """A process of the embedded server. A restart keeps the `port`."""

    def __init__(self, data: Path, port: int = 0) -> None:
        self.data, self.port = data, port
        self.start()

    def start(self) -> None:
        options = ["--port", str(self.port), "--data", str(self.data)]
        command = [sys.executable, "-X", "faulthandler", "-m", "deploy.local.pubsub", *options]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        output: IO[str] | None = self.process.stdout
        assert output is not None
        ready = re.search(r"ready on ([\w.]+):(\d+)", output.readline())
        assert ready, "the server said nothing of being ready"
        self.port = int(ready[2])
        self.address = f"{ready[1]}:{self.port}"

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal, wait, and return the exit code. A process that doesn't end prints where its threads are."""
        self.process.send_signal(number)
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            self.process.wait()
            raise
        if self.process.stdout:
            self.process.stdout.close()
        return code


@contextmanager
def _google() -> Iterator[tuple[str, subprocess.Popen[Any]]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = google.command("127.0.0.1", port)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"127.0.0.1:{port}", process
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def connect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Bus]]:
    """Start each kind of server on first use, once per session."""
    running: dict[str, Bus] = {}
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.delenv("PUBSUB_EMULATOR_HOST", raising=False)  # It would override the channel that Bus passes.

        def connected(kind: str) -> Bus:
            if kind not in running:
                if kind == "google":
                    address, process = stack.enter_context(_google())
                else:
                    server = Embedded(tmp_path_factory.mktemp("pubsub") / "data.sqlite3")
                    stack.callback(server.end)
                    address, process = server.address, server.process
                bus = Bus(address, process)
                stack.callback(bus.close)
                grpc.channel_ready_future(bus.channel).result(timeout=PATIENCE)
                running[kind] = bus
            return running[kind]

        yield connected


@pytest.fixture(params=["embedded", "google"])
def bus(request: pytest.FixtureRequest, connect: Callable[[str], Bus]) -> Bus:
    """Each server in turn."""
    try:
        return connect(request.param)
    except google.NotInstalledError as missing:
        pytest.skip(f"not run: {missing}")


@pytest.fixture
def embedded_bus(connect: Callable[[str], Bus]) -> Bus:
    """Only the embedded server, for what Google's emulator lacks."""
    return connect("embedded")


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Embedded]:
    """An embedded server for this test only, which it may end and restart."""
    server = Embedded(tmp_path / "data.sqlite3")
    yield server
    if server.process.poll() is None:
        server.end()


@pytest.fixture
def embedded_own(embedded: Embedded, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bus]:
    """The clients of that server. gRPC reconnects after a restart."""
    monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)
    own = Bus(embedded.address, embedded.process)
    yield own
    own.close()


@pytest.fixture
def free_of_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("PUBSUB_EMULATOR_JAR", *[name for name in os.environ if name.startswith("CLOUDSDK_")]):
        monkeypatch.delenv(variable, raising=False)
