"""The stream: messages of any size, dead connections, and a database that is down."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from django.db import OperationalError
from django.db.backends.signals import connection_created

from tests.conformance.conftest import Bus
from tests.waiting import PATIENCE, wait
from workers import counts, inbox, subscriber
from workers.pubsub import clients, stream
from workers.settings import Settings

from .conftest import Site

pytestmark = pytest.mark.integration
LARGE = 9_900_000
"""Pub/Sub's limit is 10 MB, with the attributes."""


class Proxy:
    """Passes connections on to a server. What `swallow` finds open brings nothing from then on, and stays open."""

    def __init__(self, address: str) -> None:
        host, _, port = address.partition(":")
        self._server = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self._dead: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def connections(self) -> int:
        return len(self._open) // 2

    def swallow(self) -> None:
        self._dead.update(self._open)

    def close(self) -> None:
        for one in (self._listener, *self._open):
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._server)
                self._open += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if source not in self._dead:
                    target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@contextmanager
def listening(settings: Settings) -> Iterator[None]:
    """A subscriber that listens, without its second thread."""
    stop = threading.Event()
    thread = threading.Thread(target=subscriber.subscribe, args=(settings, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(PATIENCE)
        # It would hold for the other tests of this process.
        connection_created.disconnect(dispatch_uid="commit_durably")
        assert not thread.is_alive()


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> list[Any]:
    """What the subscriber has received and acked; there is no inbox."""
    found: list[Any] = []

    def receive(message: Any) -> None:
        found.append(message)
        if message.data == b"odd" and len(found) == 1:
            raise ValueError("a message of an unforeseen shape")
        message.ack()

    monkeypatch.setattr(subscriber, "receive", receive)
    monkeypatch.setattr(subscriber, "_work_beside", lambda *_: None)
    monkeypatch.setenv("SUBSCRIBER_HEARTBEAT", str(tmp_path / "heartbeat"))
    return found


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows with each stream that broke or could not be opened. Clocks are short, and there is no second thread."""
    found: list[str] = []
    for module, name, seconds in (
        (stream, "QUIET_SECONDS", 0.2),
        (stream, "SECONDS", 2.0),
        (stream, "CLOSE_SECONDS", 0.2),
        (clients, "SECONDS", 2.0),
        (subscriber, "LONGEST_PAUSE", 0.2),
    ):
        monkeypatch.setattr(module, name, seconds)
    monkeypatch.setattr(counts, "failed", found.append)
    monkeypatch.setattr(subscriber, "_work_beside", lambda *_: None)
    return found


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the cloud no subscriber creates its subscription."""
    monkeypatch.setattr(subscriber, "create_subscription", lambda _: None)


def settings_of(port: int, tmp_path: Path) -> Settings:
    environ = {"PUBSUB_EMULATOR_HOST": f"127.0.0.1:{port}", "SUBSCRIBER_HEARTBEAT": str(tmp_path / "heartbeat")}
    return Settings.read(environ)


def site_at(bus: Bus, tmp_path: Any) -> Site:
    site = Site.at(bus)
    object.__setattr__(site.settings, "subscriber_heartbeat", tmp_path / "heartbeat")
    return site


def test_the_largest_messages_arrive_among_small_ones(bus: Bus, received: list[Any], tmp_path: Any) -> None:
    site = site_at(bus, tmp_path)
    with listening(site.settings):
        for number in range(2):
            bus.publish(site.name("topic"), "x" * LARGE)
            bus.publish(site.name("topic"), f"small {number}")
        wait(lambda: len(received) >= 4, "all messages to be received")
    assert sorted(len(message.data) for message in received) == [7] * 2 + [LARGE] * 2


def test_a_connection_that_brings_nothing_is_noticed_and_replaced(
    embedded_bus: Bus, received: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(stream, "QUIET_SECONDS", 0.2)
    monkeypatch.setattr(stream, "SECONDS", 2.0)
    monkeypatch.setattr(stream, "CLOSE_SECONDS", 0.2)
    site = site_at(embedded_bus, tmp_path)
    proxy = Proxy(embedded_bus.address)
    object.__setattr__(site.settings, "pubsub_emulator_host", proxy.address)
    with listening(site.settings):
        embedded_bus.publish(site.name("topic"), "first")
        wait(lambda: received, "the first message")
        proxy.swallow()
        embedded_bus.publish(site.name("topic"), "second")
        # The first comes again, too, if its ack was swallowed.
        wait(lambda: b"second" in [message.data for message in received], "the second message, on another connection")
    proxy.close()


@pytest.mark.parametrize("bus", ["google"], indirect=True)
def test_a_server_that_is_stopped_is_noticed_and_no_event_is_lost(
    bus: Bus, broken: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Stopped for longer than a question may take: its connections stay open, and bring nothing. (What is published
    meanwhile comes too, but Google's emulator may give it to the dead stream a few times, for ten seconds each.)
    """
    recorded: set[str] = set()
    monkeypatch.setattr(inbox, "record", lambda message: recorded.add(message.attributes["ce-subject"]))
    site, heartbeat = site_at(bus, tmp_path), tmp_path / "heartbeat"
    with listening(site.settings):
        site.publish("before")
        wait(lambda: recorded, "the first event")
        with bus.suspended():
            tries = len(broken)
            wait(lambda: len(broken) > tries, "the stream to be given up")
            last = heartbeat.stat().st_mtime_ns
            wait(lambda: len(broken) > tries + 1, "another try in vain")
            assert heartbeat.stat().st_mtime_ns == last
        wait(lambda: heartbeat.stat().st_mtime_ns > last, "the next heartbeat")
        site.publish("after")
        wait(lambda: recorded == {"before", "after"}, "all events to be recorded", lambda: recorded)


def test_an_open_stream_alone_is_no_heartbeat(broken: list[str], cloud: None, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with listening(settings_of(silent.getsockname()[1], tmp_path)):
            wait(lambda: broken[1:], "the stream to be given up twice")
        assert not (tmp_path / "heartbeat").exists()


# A thread of Google's client that beats for the stream does not expect it to end at once.
@pytest.mark.filterwarnings("ignore:Exception in thread Thread-Heartbeater")
def test_a_stream_that_the_identity_may_not_open_is_no_heartbeat(
    broken: list[str], cloud: None, tmp_path: Path
) -> None:
    def refuse(_: Any, context: Any) -> None:
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "User not authorized to perform this action.")

    # The stream's own refusal takes longer than the first question's.
    methods = {"Acknowledge": grpc.unary_unary_rpc_method_handler(refuse)}
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("google.pubsub.v1.Subscriber", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with listening(settings_of(port, tmp_path)):
        wait(lambda: broken[1:], "the stream to be given up twice")
    server.stop(None)
    assert not (tmp_path / "heartbeat").exists()


def test_each_client_has_a_connection_of_its_own(embedded_bus: Bus) -> None:
    """One that replaces a dead connection must not get it again because another client still holds it."""
    site, proxy = Site.at(embedded_bus), Proxy(embedded_bus.address)
    object.__setattr__(site.settings, "pubsub_emulator_host", proxy.address)
    with closing(clients.subscriber(site.settings)) as one, closing(clients.subscriber(site.settings)) as other:
        for client in (one, other):
            clients.ask(client.get_subscription, subscription=site.name("subscription"))
    assert proxy.connections == 2
    proxy.close()


def test_a_stream_whose_subscription_is_gone_is_opened_again(
    embedded_bus: Bus, received: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(stream, "QUIET_SECONDS", 0.2)
    site = site_at(embedded_bus, tmp_path)
    with listening(site.settings):
        embedded_bus.publish(site.name("topic"), "odd")
        wait(lambda: received[1:], "the first message, which could not be recorded the first time")
        received.clear()
        embedded_bus.publish(site.name("topic"), "first")
        wait(lambda: received, "another message")
        embedded_bus.subscriber.delete_subscription(request={"subscription": site.name("subscription")})
        wait(lambda: _exists(site), "the subscription to be created again")
        embedded_bus.publish(site.name("topic"), "second")
        wait(lambda: received[1:], "the second message")


def test_while_the_database_is_down_messages_wait_in_pubsub(
    embedded_bus: Bus, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """They use up at most one attempt each, and none is nacked."""
    down = threading.Event()
    down.set()
    recorded: set[str] = set()

    def record_if_up(message: Any) -> None:
        if down.is_set():
            raise OperationalError("the database is down")
        recorded.add(message.attributes["ce-subject"])

    tried: list[str] = []
    monkeypatch.setattr(inbox, "record", record_if_up)
    monkeypatch.setattr(subscriber, "_work_beside", lambda *_: None)
    monkeypatch.setattr(subscriber, "LONGEST_PROBE_PAUSE", 0.2)
    over = subscriber.Outage.over

    def probe(outage: subscriber.Outage) -> bool:
        tried.append("probe")
        return over(outage)

    monkeypatch.setattr(subscriber.Outage, "over", probe)
    nacked: list[str] = []
    monkeypatch.setattr("google.cloud.pubsub_v1.subscriber.message.Message.nack", lambda self: nacked.append("nack"))
    site = site_at(embedded_bus, tmp_path)
    runs = [f"run{number:02}" for number in range(30)]
    with listening(site.settings):
        site.publish(*runs)
        wait(lambda: len(tried) > 3, "the database to be probed")
        assert (tmp_path / "heartbeat").exists()
        down.clear()
        wait(lambda: len(recorded) == len(runs), "all events to be recorded")
    assert nacked == []
    assert sorted(recorded) == runs


def test_a_message_that_the_database_never_takes_does_not_keep_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    class Answering:
        def cursor(self) -> Any:
            return self

        def __enter__(self) -> Answering:
            return self

        def __exit__(self, *_: object) -> None: ...

        def execute(self, _: str) -> None: ...

    monkeypatch.setattr(subscriber, "connection", Answering())
    outage = subscriber.Outage()
    outage.message = inbox.Message("m1", b"x", {}, None)  # type: ignore[arg-type]
    assert outage.give_up()
    assert not outage


def test_a_message_of_an_unforeseen_shape_ends_no_subscriber_after_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: inbox.Message) -> None:
        raise ValueError("unforeseen")

    monkeypatch.setattr(inbox, "record", fail)
    monkeypatch.setattr(subscriber, "close_old_connections", lambda: None)
    outage = subscriber.Outage()
    outage.message = inbox.Message("m1", b"x", {}, None)  # type: ignore[arg-type]
    assert outage.over()
    assert not outage


def _exists(site: Site) -> bool:
    found = site.bus.subscriber.list_subscriptions(request={"project": "projects/conformance"})
    return site.name("subscription") in [each.name for each in found]
