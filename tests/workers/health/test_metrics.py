"""What Prometheus reads of the workers: counted while they work, and as docs/reference/prometheus.md says."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import DatabaseError
from django.utils import timezone
from prometheus_client import values
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import DjangoAssertNumQueries

from store import metrics
from store import warm as door
from store.models import InboxEvent, TrackingServerState
from tests.paths import ROOT
from tests.waiting import PATIENCE
from tests.workers import golden_run
from tests.workers.conftest import outdated
from tests.workers.fetch.fake_mlflow import RUN_ID, FakeMlflow
from tests.workers.health import scaling
from tests.workers.test_inbox import message
from warmboard.contract.entries import Encoding, EntryKey, Resolution
from warmboard.contract.replay import REPLAY_REQUESTED
from warmboard.contract.settings import SettingError
from webapp.serving.metrics import request_metrics
from workers import inbox, subscriber
from workers.errors import PermanentError
from workers.fetch.fetcher import Fetcher
from workers.health import gauges
from workers.inbox import Message
from workers.servers import gate, held
from workers.servers.gate import HeldBackError
from workers.settings import Settings
from workers.warm import pipeline
from workers.warm.attempt import Postponed, rebuild, warm

pytestmark = pytest.mark.usefixtures("tables")
State = InboxEvent.State
COMPLETED = "warmboard.run.completed.v1"
Sample = tuple[str, frozenset[tuple[str, str]]]


@pytest.fixture
def counted() -> Iterator[None]:
    """This process counts, as one does whose port is set."""
    before = values.ValueClass
    metrics.share()
    yield
    metrics.forget()
    values.ValueClass = before


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> FakeMlflow:
    transport = FakeMlflow(golden_run.metrics(), golden_run.params())
    monkeypatch.setattr(pipeline, "fetcher", lambda server, settings: Fetcher(server, transport=transport))
    monkeypatch.setattr("workers.servers.probe.connections_to", lambda *_: transport)
    return transport


def settings() -> Settings:
    return Settings.read({"MLFLOW_TRACKING_URI": "http://mlflow.test", "WARM_ATTEMPTS": "2"})


def scrape() -> dict[Sample, float]:
    """All samples of ours, by name and labels."""
    port = metrics.serve("127.0.0.1", 0, [gauges.DatabaseGauges(["default"])])
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE) as answer:
        text = answer.read().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: dict[Sample, float], name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def receive(received: Message) -> None:
    """Have the subscriber take a message, as Pub/Sub's client gives it."""
    told = vars(received) | {"publish_time": received.published_at, "ack": lambda: None}
    subscriber.receive(SimpleNamespace(**told))


def work(mlflow: FakeMlflow, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let happen, once, what is counted."""
    monkeypatch.setattr(subscriber, "_queue", lambda _: None)
    for received in (message(run_id=RUN_ID), message(run_id=RUN_ID), Message("9", b"{", {}, timezone.now())):
        receive(received)
    assert "12 epochs" in warm(RUN_ID, settings(), "w1")
    inbox.reopen(RUN_ID)
    mlflow.bulk, mlflow.failures = True, [503]
    for error in (Postponed, PermanentError):
        mlflow.failures = [503]
        with pytest.raises(error, match="503"):
            warm(RUN_ID, settings(), "w1")
    outdated("old")
    mlflow.failures = [503, 503]
    with pytest.raises(HeldBackError):
        rebuild("old", 0, settings())
    monkeypatch.setattr(inbox, "record", _down)
    with pytest.raises(DatabaseError):
        receive(message())
    assert door.get(EntryKey.history(RUN_ID, Resolution.OVERVIEW), Encoding.ZSTD)
    assert door.get(EntryKey.history("never", Resolution.OVERVIEW), Encoding.ZSTD) is None
    requests = request_metrics()
    assert requests
    requests.answered("api/runs/", "GET", 200, 0.02)
    requests.refused(408)
    requests.lane("pages", 1)


def _down(*_: object) -> None:
    raise DatabaseError("gone")


@pytest.mark.usefixtures("counted")
def test_what_happens_is_counted(mlflow: FakeMlflow, monkeypatch: pytest.MonkeyPatch) -> None:
    work(mlflow, monkeypatch)
    found = scrape()
    assert value(found, "warmboard_publish_to_warm_seconds_count", type=COMPLETED) == 1
    age = (timezone.now() - InboxEvent.objects.get(run_id=RUN_ID).published_at).total_seconds()
    assert value(found, "warmboard_publish_to_warm_seconds_sum", type=COMPLETED) == pytest.approx(age, abs=PATIENCE)
    for way, outcome, count in (("stock", "fetched", 1), ("bulk", "failed", 3)):
        assert value(found, "warmboard_fetch_seconds_count", server="default", way=way, outcome=outcome) == count
    assert value(found, "warmboard_fetch_bytes_total", server="default", way="stock") > 1000
    for kind, outcome in (("event", "warm"), ("event", "postponed"), ("event", "failed"), ("rebuild", "held_back")):
        assert value(found, "warmboard_attempts_total", server="default", work=kind, outcome=outcome) == 1
    for outcome in ("kept", "duplicate", "unreadable"):
        assert value(found, "warmboard_messages_total", outcome=outcome) == 1
    assert value(found, "warmboard_dependency_failures_total", dependency="database") == 1
    for place in ("redis", "nowhere"):
        assert value(found, "warmboard_reads_total", found=place) == 1
    assert value(found, "warmboard_database_up") == 1
    assert value(found, "warmboard_inbox_rows", state="failed") == 1
    assert value(found, "warmboard_tracking_server_state", server="default", state="down") == 1


@pytest.mark.usefixtures("counted")
def test_the_page_has_every_metric_and_its_labels(mlflow: FakeMlflow, monkeypatch: pytest.MonkeyPatch) -> None:
    work(mlflow, monkeypatch)
    served = {
        (re.sub("_(bucket|sum|count|created)$", "", name), frozenset(dict(labels)) - {"le"})
        for name, labels in scrape()
    }
    page = (ROOT / "docs" / "reference" / "prometheus.md").read_text().partition("\n## What to be told about\n")[0]
    rows = re.findall(r"^\| `(\w+)` \|[^|]+\|([^|]*)\|", page, re.M)
    assert {(name, frozenset(re.findall("`(.+?)`", labels))) for name, labels in rows} == served


@pytest.mark.usefixtures("counted")
def test_a_client_that_says_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "SILENT_SECONDS", 0.1)
    with socket.create_connection(("127.0.0.1", metrics.serve("127.0.0.1", 0)), PATIENCE) as silent:
        assert silent.recv(1) == b""


@pytest.mark.usefixtures("counted")
def test_one_client_too_many_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MOST_CLIENTS", 1)
    address = ("127.0.0.1", metrics.serve("127.0.0.1", 0))
    with socket.create_connection(address, PATIENCE), socket.create_connection(address, PATIENCE) as second:
        assert second.recv(1) == b"", "closed, while the first is being answered"


@pytest.mark.usefixtures("counted")
def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingError, match=f"METRICS_PORT: {port} can't be listened on: .*in use"):
            metrics.serve("127.0.0.1", port)


@pytest.mark.usefixtures("mlflow")
def test_without_a_port_nothing_is_counted_or_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox.record(message(run_id=RUN_ID))
    monkeypatch.setenv(metrics.FOLDER, str(tmp_path))
    assert metrics.folder() is None, "it is another program's"
    metrics.forget()
    assert tmp_path.exists()
    assert "12 epochs" in warm(RUN_ID, settings(), "w1")
    program = "import sys, workers.queue, workers.tasks, workers.subscriber, workers.sweep, workers.health.signals; "
    program += "print([name for name in sys.modules if name.startswith('prometheus_client')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout == "[]\n"


def test_a_process_in_the_place_of_a_dead_one_counts_on(tmp_path: Path) -> None:
    program = """
import os, sys
from store import metrics
from workers import counts
place = "main"
metrics.share(lambda: place)
counts.received("kept")
for _ in range(3):
    if not (child := os.fork()):
        place = 0
        counts.received("kept")
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
registry = CollectorRegistry()
MultiProcessCollector(registry)
print(sorted(os.listdir(metrics.folder())), generate_latest(registry).decode())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "TMPDIR": str(tmp_path)}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert "['counter_0.db', 'counter_main.db']" in done.stdout
    assert 'warmboard_messages_total{outcome="kept"} 4.0' in done.stdout


def test_files_of_killed_processes_are_deleted_by_the_next(tmp_path: Path) -> None:
    program = "from store import metrics; metrics.share(); print(metrics.folder(), flush=True); input()"

    def begin() -> tuple[subprocess.Popen[str], Path]:
        environ = {**os.environ, "TMPDIR": str(tmp_path)}
        process = subprocess.Popen(
            [sys.executable, "-c", program], env=environ, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdout
        return process, Path(process.stdout.readline().strip())

    def end(process: subprocess.Popen[str]) -> None:
        process.kill()
        process.communicate()

    killed, of_killed = begin()
    end(killed)
    running, of_running = begin()
    assert of_killed.exists(), "it may be of one that has just begun"
    for folder in (of_killed, of_running):
        os.utime(folder, (0, 0))
    following, of_following = begin()
    assert set(tmp_path.iterdir()) == {of_running, of_following}
    end(running)
    end(following)


def test_the_database_is_seen_as_it_is() -> None:
    rows: list[tuple[str, dict[str, Any]]] = [
        (State.PENDING, {}),
        (State.PENDING, {"claims": 1, "done_at": timezone.now()}),
        (State.PENDING, {"due_at": None}),
        (State.WARMING, {}),
        (State.DONE, {"due_at": None}),
        (State.FAILED, {"due_at": None}),
        (State.PENDING, {"type": REPLAY_REQUESTED}),
    ]
    for number, (state, fields) in enumerate(rows):
        row = inbox.record(message(event_id=f"e{number}", run_id=f"run{number}"))
        assert row
        received = timezone.now() - timedelta(hours=number + 1)
        InboxEvent.objects.filter(pk=row.pk).update(state=state, received_at=received, **fields)
    inbox.record(Message("9", b"{", {}, timezone.now()))
    held.hold("run2", "waits")
    gate.close("default", "refused")
    TrackingServerState.objects.create(name="back", reason="")
    seen = gauges.look(["default", "back", "other"])
    assert seen.rows == {"pending": 2, "held_back": 1, "warming": 1, "failed": 1, "unreadable": 1}
    # Of the first and the fourth: what a replay has brought again, and what is held back, waits for something else.
    assert round(seen.queue_age / 3600) == 1
    assert round(seen.oldest_unfinished / 3600) == 4
    assert seen.held_back == {"default": 1, "back": 0, "other": 0}
    assert seen.servers == {"default": "down", "back": "back", "other": "up"}
    assert gauges.look(["back"]).held_back == {"back": 0, "unknown": 1}
    # What KEDA scales workers by: what a worker can do something about.
    assert scaling.unfinished() == seen.rows["pending"] + seen.rows["warming"]


def test_many_scrapes_look_once(django_assert_max_num_queries: DjangoAssertNumQueries) -> None:
    collector = gauges.DatabaseGauges(["default"])
    looked = []
    original = gauges.look

    def look(servers: Any) -> gauges.Seen:
        looked.append(threading.current_thread().name)
        return original(servers)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gauges, "look", look)
        for _ in range(5):
            assert len(list(collector.collect())) == 6
    assert looked == ["gauges"]
    with django_assert_max_num_queries(11):
        gauges.look(["default"])


def test_a_database_that_is_down_or_slow_delays_no_scrape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gauges, "WAIT_SECONDS", 0.1)
    monkeypatch.setattr(gauges, "look", _down)
    (up,) = gauges.DatabaseGauges(["default"]).collect()
    assert (up.name, up.samples[0].value) == ("warmboard_database_up", 0)
    goes_on = threading.Event()
    monkeypatch.setattr(gauges, "look", lambda _: goes_on.wait(PATIENCE))
    collector = gauges.DatabaseGauges(["default"])
    for _ in range(3):
        (up,) = collector.collect()
        assert up.samples[0].value == 0
    assert [thread.name for thread in threading.enumerate()].count("gauges") == 1
    goes_on.set()
