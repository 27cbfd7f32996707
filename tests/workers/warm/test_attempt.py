"""Attempts against a faked MLflow: what is done, what is retried, what is given up and why."""

import gzip
import json
from typing import Any

import pytest
import zstandard
from django.test import override_settings

from store import warm as door
from store.models import InboxEvent, QuickTest, Run, RunSource, WarmEntry
from tests.workers import golden_run
from tests.workers.fetch.fake_mlflow import RUN_ID, FakeMlflow, Points, _unknown
from tests.workers.test_inbox import message
from warmboard.contract.entries import Encoding, EntryKey, Resolution
from workers import inbox
from workers.errors import PermanentError
from workers.fetch.fetcher import Fetcher
from workers.settings import Settings
from workers.warm import pipeline
from workers.warm.attempt import Postponed, rebuild_entries, warm
from workers.warm.command import warm_now

pytestmark = pytest.mark.usefixtures("tables")
State = InboxEvent.State


class Server:
    """The MLflow server; a test may change it."""

    def __init__(self) -> None:
        self.transport = FakeMlflow(golden_run.metrics(), golden_run.params())


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    found = Server()
    monkeypatch.setattr(pipeline, "fetcher", lambda server, concurrency: Fetcher(server, transport=found.transport))
    return found


def settings(**environ: str) -> Settings:
    return Settings.read({"MLFLOW_TRACKING_URI": "http://mlflow.test", "WARM_ATTEMPTS": "3", **environ})


def announce(**change: Any) -> None:
    assert inbox.record(message(run_id=RUN_ID, **change))


def full_history() -> dict[str, Any]:
    body = door.get(EntryKey.history(RUN_ID, Resolution.FULL), Encoding.GZIP)
    assert body
    document: dict[str, Any] = json.loads(gzip.decompress(body.data))
    return document


def only_event() -> InboxEvent:
    return InboxEvent.objects.get()


@pytest.mark.usefixtures("server")
def test_a_run_becomes_warm() -> None:
    announce()
    assert "12 epochs" in warm(RUN_ID, settings(), "w1")
    assert (only_event().state, only_event().attempts) == (State.DONE, 1)
    assert full_history()["epochs"] == list(range(12))
    assert Run.objects.get().epochs == 12
    test = QuickTest.objects.get(pk=7)
    assert test.training_history_json
    assert test.training_history_json["mlflow_run_id"] == RUN_ID
    assert warm(RUN_ID, settings(), "w1") == "nothing to do: no event that waits"


def test_a_server_that_is_down_is_retried_and_then_given_up(server: Server) -> None:
    announce()
    server.transport = FakeMlflow({}, failures=[503] * 3)
    for attempt in (1, 2):
        with pytest.raises(Postponed, match="503"):
            warm(RUN_ID, settings(), "w1")
        assert (only_event().state, only_event().attempts) == (State.PENDING, attempt)
        assert "503" in only_event().reason
    with pytest.raises(PermanentError, match="gave up after 3 attempts"):
        warm(RUN_ID, settings(), "w1")
    assert only_event().state == State.FAILED
    inbox.reopen(RUN_ID)
    assert "warm" in warm(RUN_ID, settings(), "w1")


def test_a_run_that_is_not_in_mlflow_is_given_up_at_once(server: Server) -> None:
    assert inbox.record(message(run_id="f" * 32))
    with pytest.raises(PermanentError, match="not found"):
        warm("f" * 32, settings(), "w1")
    assert only_event().state == State.FAILED


def test_a_server_that_is_not_configured_is_never_called(server: Server) -> None:
    announce(tracking_server="http://evil.example")
    with pytest.raises(PermanentError, match=r"no tracking server named 'http://evil\.example'; configured: default"):
        warm(RUN_ID, settings(), "w1")
    assert server.transport.requests == []


def test_a_bug_is_given_up_with_its_reason(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    announce()
    monkeypatch.setattr(server.transport, "_runs_get", lambda query: {"run": {"unheard": "of"}})
    with pytest.raises(KeyError):
        warm(RUN_ID, settings(), "w1")
    assert (only_event().state, only_event().reason) == (State.FAILED, "KeyError: 'info'")


@pytest.mark.usefixtures("server")
def test_a_task_that_kills_its_worker_is_not_retried_for_ever() -> None:
    announce()
    for _ in range(3):
        inbox.claim(RUN_ID, "w1")
        inbox.release("w1")
    with pytest.raises(PermanentError, match="ended without a result"):
        warm(RUN_ID, settings(), "w1")
    assert only_event().state == State.FAILED


def test_each_event_has_its_own_attempts(server: Server) -> None:
    announce(event_id="old")
    InboxEvent.objects.update(attempts=2)
    announce()
    server.transport = FakeMlflow({}, failures=[503])
    with pytest.raises(Postponed):
        warm(RUN_ID, settings(), "w1")
    assert {event.event_id == "old": event.state for event in InboxEvent.objects.all()} == {
        True: State.FAILED,
        False: State.PENDING,
    }


def test_what_a_database_rejects_is_made_printable(server: Server) -> None:
    server.transport.params = {"note": "a\0b"}
    announce()
    warm(RUN_ID, settings(), "w1")
    assert Run.objects.get().params == {"note": "a\N{REPLACEMENT CHARACTER}b"}


@pytest.mark.usefixtures("server")
@override_settings(LEASE_SECONDS=0)
def test_a_long_fetch_keeps_its_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    renewed: list[int] = []
    monkeypatch.setattr(inbox, "renew", lambda events: renewed.append(len(events)))
    announce()
    warm(RUN_ID, settings(), "w1")
    assert len(renewed) > len(golden_run.metrics()) / 2
    assert set(renewed) == {1}


@pytest.mark.parametrize("bulk", [False, True])
def test_a_run_in_progress_is_fetched_incrementally(server: Server, bulk: bool) -> None:
    metrics = golden_run.metrics()
    # The repeated step would be a reason to fetch the whole run.
    metrics["weight_norm"] = metrics["weight_norm"][1:]
    server.transport = FakeMlflow(up_to(metrics, 6), golden_run.params(), status="RUNNING", bulk=bulk)
    assert inbox.record(message("6", "event-progressed-v1.json", run_id=RUN_ID, event_id="progressed-6"))
    warm(RUN_ID, settings(), "w1")
    assert full_history()["epochs"] == list(range(6))
    server.transport.metrics = up_to(metrics, 9)
    assert inbox.record(message("9", "event-progressed-v1.json", run_id=RUN_ID, event_id="progressed-9"))
    warm(RUN_ID, settings(), "w1")
    assert full_history()["epochs"] == list(range(9))
    if bulk:
        assert "from_step" in server.transport.queries[-1]
    server.transport.metrics, server.transport.status = dict(metrics), "FINISHED"
    announce()
    warm(RUN_ID, settings(), "w1")
    assert full_history()["epochs"] == list(range(12))
    assert full_history()["loss"]["train"] == [value for _, value, _ in metrics["loss"]]
    assert "from_step" not in server.transport.queries[-1], "the end of a run is fetched as a whole"
    assert Run.objects.get().status == "FINISHED"


@pytest.mark.parametrize("bulk", [True, False])
def test_a_run_that_has_not_changed_keeps_its_bodies(server: Server, bulk: bool) -> None:
    server.transport.bulk = bulk
    announce()
    warm(RUN_ID, settings(), "w1")
    before = {entry.pk: (entry.etag, bytes(entry.gzip), bytes(entry.zstd)) for entry in WarmEntry.objects.all()}
    warmed_at = Run.objects.get().warmed_at
    # MLflow's answers have no order.
    server.transport.metrics = dict(reversed(server.transport.metrics.items()))
    inbox.reopen(RUN_ID)
    warm(RUN_ID, settings(), "w1")
    after = {entry.pk: (entry.etag, bytes(entry.gzip), bytes(entry.zstd)) for entry in WarmEntry.objects.all()}
    assert after == before
    assert Run.objects.get().warmed_at != warmed_at
    server.transport.metrics["late"] = [(0, 1.0, 1)]
    inbox.reopen(RUN_ID)
    warm(RUN_ID, settings(), "w1")
    assert full_history()["cached_at"] > json.loads(gzip.decompress(next(iter(before.values()))[1]))["cached_at"]


@pytest.mark.usefixtures("server")
def test_entries_are_rebuilt_without_asking_mlflow(server: Server) -> None:
    announce()
    warm(RUN_ID, settings(), "w1")
    asked, before = len(server.transport.requests), full_history()
    assert "12 epochs" in rebuild_entries(RUN_ID, settings(EPOCH_SAMPLE_INTERVAL="3"))
    assert len(server.transport.requests) == asked
    assert {**full_history(), "cached_at": ""} == {**before, "cached_at": ""}
    overview = door.get(EntryKey.history(RUN_ID, Resolution.OVERVIEW), Encoding.GZIP)
    assert overview
    assert json.loads(gzip.decompress(overview.data))["epochs"] == [0, 3, 6, 9, 11]


@pytest.mark.parametrize("left", [None, b"no run"])
def test_a_run_without_a_readable_source_is_rebuilt_from_mlflow(server: Server, left: bytes | None) -> None:
    announce()
    warm(RUN_ID, settings(), "w1")
    if left is None:
        RunSource.objects.all().delete()
    else:
        RunSource.objects.update(body=left)
    asked = len(server.transport.requests)
    rebuild_entries(RUN_ID, settings())
    assert len(server.transport.requests) > asked
    assert RunSource.objects.exists()


@pytest.mark.parametrize("bulk", [True, False])
@pytest.mark.parametrize("gone", ["deleted", "unknown"])
def test_what_mlflow_no_longer_has_is_rebuilt_from_the_points_that_are_kept(
    server: Server, monkeypatch: pytest.MonkeyPatch, bulk: bool, gone: str
) -> None:
    announce()
    warm(RUN_ID, settings(), "w1")
    before = full_history()
    RunSource.objects.update(body=_in_part(bytes(RunSource.objects.get().body)))
    server.transport.bulk = bulk
    if gone == "deleted":
        server.transport.lifecycle_stage = "deleted"
    else:
        monkeypatch.setattr(server.transport, "_answer", lambda *_: _unknown("Run not found"))
    assert "from the points that an older version kept" in rebuild_entries(RUN_ID, settings())
    after = full_history()
    assert after["loss"] == before["loss"]
    assert (after["replaced"], after["repeated_steps"]) == ({}, 0)


def test_a_run_with_missing_points_waits_for_an_mlflow_that_refuses(server: Server) -> None:
    announce()
    warm(RUN_ID, settings(), "w1")
    RunSource.objects.update(body=_in_part(bytes(RunSource.objects.get().body)))
    server.transport.failures = [403]
    with pytest.raises(PermanentError, match="403"):
        rebuild_entries(RUN_ID, settings())


def _in_part(source: bytes) -> bytes:
    """The source as the version before wrote it: one point per step."""
    lines = []
    text = zstandard.ZstdDecompressor().decompressobj().decompress(source)
    documents = [json.loads(line) for line in text.splitlines()]
    once = next(document["axis"] for document in documents if document.get("key") == "loss")
    for document in documents:
        if document.get("key") == "weight_norm":
            assert document["values"].pop(5) == -1.0
            document["repeated"], document["axis"] = 1, once
        if document.get("end"):
            document["points"] -= 1
        lines.append(json.dumps(document).encode() + b"\n")
    return zstandard.compress(b"".join(lines))


def test_a_run_that_no_event_announced_is_warmed_by_its_id(server: Server) -> None:
    report = warm_now([RUN_ID, "f" * 32], settings().tracking_servers["default"], settings())
    assert [warmed.run_id for warmed in report.warmed] == [RUN_ID]
    assert "not found" in report.failed["f" * 32]
    assert str(report).startswith("1 run warm, 1 failed: ")
    assert Run.objects.get().experiment_name == "two-tower"
    assert not InboxEvent.objects.exists()


def up_to(metrics: dict[str, Points], epochs: int) -> dict[str, Points]:
    """The metrics after that number of epochs, without final metrics."""
    return {
        key: [point for point in points if point[0] < epochs]
        for key, points in metrics.items()
        if not key.startswith(("final_", "test_", "batch/"))
    }
