"""The embedded server as a process, its file, and the search for Google's emulator.

Google's emulator keeps nothing over a restart, so only the embedded server is tested for durability.
"""

from __future__ import annotations

import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.api_core import exceptions
from google.pubsub_v1 import types

from deploy.local.pubsub import google, storage
from tests.paths import ROOT
from tests.waiting import PATIENCE

from .conftest import Bus, Embedded


@pytest.mark.integration
def test_everything_is_there_after_kill_9(embedded: Embedded, embedded_own: Bus) -> None:
    bus = embedded_own
    start = datetime.now(UTC) - timedelta(seconds=1)
    topic, subscription = bus.pair(retain_acked_messages=True, labels={"a": "b"})
    texts = sorted(f"message {number}" for number in range(50))
    bus.publish(topic, *texts)
    received = bus.pull(subscription, 20)
    acked, held = received[:15], received[15:]
    bus.ack(subscription, acked)
    snapshot = bus.snapshot(subscription)
    bus.lease(subscription, held, 1)

    assert embedded.end(signal.SIGKILL) == -signal.SIGKILL
    embedded.start()

    assert bus.publisher.get_topic(request={"topic": topic}).name == topic
    stored = bus.subscriber.get_subscription(request={"subscription": subscription})
    assert (stored.topic, dict(stored.labels), stored.retain_acked_messages) == (topic, {"a": "b"}, True)
    unacked = sorted(set(texts) - {entry.message.data.decode() for entry in acked})
    assert bus.texts(subscription, 35) == unacked
    bus.subscriber.seek(request={"subscription": subscription, "snapshot": snapshot})
    assert bus.texts(subscription, 35) == unacked
    bus.subscriber.seek(request={"subscription": subscription, "time": start})
    assert bus.texts(subscription, 50) == texts
    assert bus.is_quiet(subscription)


@pytest.mark.integration
def test_a_lease_survives_kill_9(embedded: Embedded, embedded_own: Bus) -> None:
    topic, subscription = embedded_own.pair(ack_deadline_seconds=600)
    embedded_own.publish(topic, "held")
    received = embedded_own.pull(subscription, 1)
    embedded.end(signal.SIGKILL)
    embedded.start()
    assert embedded_own.is_quiet(subscription)
    embedded_own.ack(subscription, received)
    start = datetime.now(UTC) - timedelta(hours=1)
    embedded_own.subscriber.seek(request={"subscription": subscription, "time": start})
    assert embedded_own.is_quiet(subscription)


@pytest.mark.integration
def test_no_published_message_is_lost_by_kill_9(embedded: Embedded, embedded_own: Bus) -> None:
    topic, subscription = embedded_own.pair()
    published: list[str] = []
    some = threading.Event()

    def publish() -> None:
        try:
            while len(published) < 100_000:
                published.extend(embedded_own.publish(topic, "x"))
                if len(published) >= 100:
                    some.set()
        except exceptions.GoogleAPICallError:
            return

    # A retry would hide the moment of the kill, and publish again what may be stored already.
    method = embedded_own.plain_publisher.transport.publish
    embedded_own.plain_publisher.transport._wrapped_methods[method]._retry = None
    publishing = threading.Thread(target=publish)
    publishing.start()
    assert some.wait(PATIENCE)
    embedded.end(signal.SIGKILL)
    publishing.join(PATIENCE)
    assert not publishing.is_alive()
    embedded.start()
    received = {message.message_id for message in embedded_own.collect(subscription, len(published))}
    assert set(published) <= received


@pytest.mark.integration
def test_a_subscriber_continues_after_a_restart(embedded: Embedded, embedded_own: Bus) -> None:
    topic, subscription = embedded_own.pair()
    arrived: queue.Queue[bytes] = queue.Queue()

    def callback(message: Any) -> None:
        message.ack()
        arrived.put(message.data)

    with embedded_own.subscribed(subscription, callback):
        embedded_own.publish(topic, "before")
        assert arrived.get(timeout=PATIENCE) == b"before"
        embedded.end(signal.SIGKILL)
        embedded.start()
        embedded_own.publish(topic, "after")
        while arrived.get(timeout=2 * PATIENCE) != b"after":  # The ack of the first may have been lost.
            pass


@pytest.mark.integration
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_with_an_open_stream(
    embedded: Embedded, embedded_own: Bus, number: signal.Signals
) -> None:
    topic, subscription = embedded_own.pair()
    embedded_own.publish(topic, "x")
    first = {"subscription": subscription, "stream_ack_deadline_seconds": 60}
    requests: queue.Queue[dict[str, Any] | None] = queue.Queue()
    requests.put(first)
    stream = embedded_own.subscriber.streaming_pull(requests=iter(requests.get, None), timeout=PATIENCE, retry=None)
    assert len(next(stream).received_messages) == 1
    assert embedded.end(number) == 0
    requests.put(None)
    with pytest.raises(exceptions.GoogleAPICallError):
        next(stream)


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deploy.local.pubsub", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)


@pytest.mark.integration
def test_a_taken_port_is_an_error(embedded: Embedded, tmp_path: Path) -> None:
    result = _run("--port", str(embedded.port), "--data", str(tmp_path / "other.sqlite3"))
    assert result.returncode == 1
    assert f"cannot listen on 127.0.0.1:{embedded.port}" in result.stderr


@pytest.mark.integration
def test_a_port_taken_by_another_program_is_an_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = _run("--port", str(port), "--data", str(tmp_path / "data.sqlite3"))
    assert result.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in result.stderr


@pytest.mark.integration
def test_a_file_in_use_is_an_error(embedded: Embedded) -> None:
    result = _run("--port", "0", "--data", str(embedded.data))
    assert result.returncode == 1
    assert f"cannot use {embedded.data}" in result.stderr


@pytest.mark.integration
def test_the_help_has_an_example() -> None:
    result = _run("--help")
    assert result.returncode == 0
    assert "example:" in result.stdout


def test_what_no_retention_keeps_is_purged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = storage.Storage(str(tmp_path / "data.sqlite3"))
    topic = types.Topic.pb()(name="projects/p/topics/topic")
    store.create_topic(topic)
    subscription = storage.Subscription(name="projects/p/subscriptions/sub", topic=topic.name, ack_deadline_seconds=10)
    subscription.message_retention_duration.FromMicroseconds(storage.WEEK)
    store.create_subscription(subscription)

    def backlog() -> list[bytes]:
        received = store.receive(subscription.name, lambda: True, until=0, limit=10)
        store.modify_ack_deadlines(subscription.name, [(entry.ack_id, 0) for entry in received])
        return [entry.message.data for entry in received]

    store.publish(topic.name, [storage.PubsubMessage(data=b"old")])
    started = time.time_ns() // 1000
    for days, expected in ((6, [b"old", b"new"]), (8, [b"new"]), (14, [])):
        monkeypatch.setattr(storage, "now", lambda days=days: started + days * storage.WEEK // 7)
        if days == 6:
            store.publish(topic.name, [storage.PubsubMessage(data=b"new")])
        store.purge()
        assert backlog() == expected
    store.close()


def test_google_without_java_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(google.NotInstalledError, match="needs Java"):
        google.command("127.0.0.1", 1)


def test_google_without_its_jar_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    java = tmp_path / "java"
    java.write_text("")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PUBSUB_EMULATOR_JAR", str(tmp_path / "absent.jar"))
    with pytest.raises(google.NotInstalledError, match=r"absent\.jar"):
        google.command("127.0.0.1", 1)
    monkeypatch.setenv("PUBSUB_EMULATOR_JAR", str(java))
    assert google.command("127.0.0.1", 8085) == [str(java), "-jar", str(java), "--host=127.0.0.1", "--port=8085"]


def test_the_newest_jar_is_found_beside_gcloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for program in ("java", "gcloud"):
        path = tmp_path / "bin" / program
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
        path.chmod(0o755)
    folder = tmp_path / "platform" / "pubsub-emulator" / "lib"
    folder.mkdir(parents=True)
    for version in ("0.8.9", "0.8.20"):
        (folder / f"cloud-pubsub-emulator-{version}-all.jar").write_text("")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("PUBSUB_EMULATOR_JAR", raising=False)
    assert str(folder / "cloud-pubsub-emulator-0.8.20-all.jar") in google.command("127.0.0.1", 1)
