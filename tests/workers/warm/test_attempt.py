"""Attempts against a faked MLflow: what is done, what is retried, what is given up and why."""

import gzip
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
import redis
import zstandard
from django.db import OperationalError
from django.test import override_settings

from store import warm as door
from store.hot import hot
from store.models import InboxEvent, QuickTest, Run, RunSource, WarmEntry
from tests.waiting import wait
from tests.workers import golden_run
from tests.workers.fetch.fake_mlflow import RUN_ID, FakeMlflow, Points, _unknown
from tests.workers.test_inbox import message
from warmboard.contract.entries import Encoding, EntryKey, Resolution
from workers import inbox
from workers.errors import PermanentError
from workers.fetch.fetcher import Fetcher
from workers.servers import gate, held
from workers.servers.gate import HeldBackError
from workers.settings import Settings
from workers.warm import pipeline
from workers.warm.attempt import Postponed, UnrecordedError, rebuild_entries, warm
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
    monkeypatch.setattr(pipeline, "fetcher", lambda server, settings: Fetcher(server, transport=found.transport))
    monkeypatch.setattr("workers.servers.probe.connections_to", lambda *_: found.transport)
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


def test_a_run_that_its_server_cannot_answer_is_retried_and_then_given_up(server: Server) -> None:
    announce()
    for attempt in (1, 2):
        server.transport = FakeMlflow({}, failures=[503])
        with pytest.raises(Postponed, match="503"):
            warm(RUN_ID, settings(), "w1")
        assert (only_event().state, only_event().attempts) == (State.PENDING, attempt)
        assert "503" in only_event().reason
    server.transport = FakeMlflow({}, failures=[503])
    with pytest.raises(PermanentError, match="gave up after 3 attempts"):
        warm(RUN_ID, settings(), "w1")
    assert only_event().state == State.FAILED
    inbox.reopen(RUN_ID)
    assert "warm" in warm(RUN_ID, settings(), "w1")


@pytest.mark.parametrize(("status", "asked"), [(503, 2), (500, 2), (404, 3), (429, 1)])
def test_a_server_that_is_down_costs_no_attempt(server: Server, status: int, asked: int) -> None:
    announce()
    server.transport = FakeMlflow({}, failures=[status] * 3)
    if status == 404:
        # A proxy's page, without MLflow's error code.
        server.transport._answer = lambda *_: (404, b"<html>", {})  # type: ignore[method-assign]
    for _ in range(5):
        with pytest.raises(HeldBackError, match=f"'default', down since .*{status}"):
            warm(RUN_ID, settings(), "w1")
        assert (only_event().state, only_event().attempts, only_event().due_at) == (State.PENDING, 0, None)
    assert asked - 1 <= len([path for path in server.transport.requests if "version" not in path]) <= asked
    assert f"{status}" in only_event().reason
    server.transport = FakeMlflow(golden_run.metrics(), golden_run.params())
    gate.reopen("default")
    assert "warm" in warm(RUN_ID, settings(), "w1")
    assert only_event().attempts == 1


@pytest.mark.usefixtures("server")
def test_a_redis_that_is_down_costs_no_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    announce()
    with monkeypatch.context() as broken:
        broken.setattr(hot().client, "pipeline", _raise(redis.ConnectionError("connection refused")))
        for _ in range(4):
            with pytest.raises(Postponed, match="Redis is down"):
                warm(RUN_ID, settings(), "w1")
    assert (only_event().state, only_event().attempts) == (State.PENDING, 0)
    assert only_event().due_at, "the sweep queues it if Celery's retry is lost"
    warm(RUN_ID, settings(), "w1")
    assert (only_event().state, only_event().attempts) == (State.DONE, 1)


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("until", ["stored", "recorded"])
def test_a_database_that_is_down_costs_no_attempt(monkeypatch: pytest.MonkeyPatch, until: str) -> None:
    announce()
    with monkeypatch.context() as broken:
        broken.setattr(door, "put", _raise(OperationalError("server closed the connection unexpectedly")))
        if until == "stored":
            with pytest.raises(Postponed, match="closed the connection"):
                warm(RUN_ID, settings(), "w1")
        else:
            broken.setattr(inbox, "wait", _raise(OperationalError("connection refused")))
            with pytest.raises(UnrecordedError) as unrecorded:
                warm(RUN_ID, settings(), "w1")
            assert (only_event().state, only_event().attempts) == (State.WARMING, 1)
    if until == "recorded":
        held.give_back(unrecorded.value.owed)
        held.give_back(unrecorded.value.owed)
    assert (only_event().state, only_event().attempts) == (State.PENDING, 0)
    assert "warm" in warm(RUN_ID, settings(), "w1")


@pytest.mark.usefixtures("server")
def test_an_attempt_is_given_back_only_if_the_event_was_not_claimed_since(monkeypatch: pytest.MonkeyPatch) -> None:
    announce()
    owed = [(event.pk, event.claims) for event in inbox.claim(RUN_ID, "w1")]
    inbox.release("w1")
    inbox.claim(RUN_ID, "w2")
    held.give_back(owed)
    assert (only_event().state, only_event().attempts) == (State.WARMING, 2)


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


@pytest.mark.usefixtures("server")
def test_a_bug_is_given_up_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    announce()
    monkeypatch.setattr(pipeline, "write_run", lambda run: vars(run)["info"])
    with pytest.raises(KeyError):
        warm(RUN_ID, settings(), "w1")
    assert (only_event().state, only_event().reason) == (State.FAILED, "KeyError: 'info'")


def test_a_description_in_another_shape_is_retried(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    announce()
    monkeypatch.setattr(server.transport, "_runs_get", lambda query: {"run": {"unheard": "of"}})
    with pytest.raises(Postponed, match="in a shape that is not MLflow's: KeyError"):
        warm(RUN_ID, settings(), "w1")


@pytest.mark.usefixtures("server")
def test_a_task_that_kills_its_worker_is_not_retried_for_ever() -> None:
    announce()
    for _ in range(3):
        inbox.claim(RUN_ID, "w1")
        assert inbox.release("w1") == [RUN_ID]
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


class Stalled(FakeMlflow):
    """Answers the first request once ``until`` has come true."""

    def __init__(self, until: Callable[[], bool]) -> None:
        super().__init__(golden_run.metrics())
        self.until = until

    def _answer(self, *request: Any) -> tuple[int, bytes, dict[str, str]]:
        wait(self.until, "the claim to change")
        return super()._answer(*request)


@override_settings(LEASE_SECONDS=0.2)
def test_a_claim_is_renewed_by_time_while_its_worker_waits(server: Server) -> None:
    announce()
    renewed: set[Any] = set()

    def often() -> bool:
        renewed.add(only_event().due_at)
        return len(renewed) > 4

    server.transport = Stalled(often)
    assert "12 epochs" in warm(RUN_ID, settings(), "w1")
    assert (only_event().state, only_event().attempts) == (State.DONE, 1)


@override_settings(LEASE_SECONDS=0.2)
def test_a_worker_whose_claim_was_lost_stops_and_loses_no_attempt(server: Server) -> None:
    announce()

    def taken() -> bool:
        if only_event().claimed_by == "w1":
            InboxEvent.objects.update(state=State.PENDING)
            assert inbox.claim(RUN_ID, "w2")
        # The thread that renews ends when it sees it.
        return "lease" not in {thread.name for thread in threading.enumerate()}

    server.transport = Stalled(taken)
    assert warm(RUN_ID, settings(), "w1") == "stopped: its claim was lost"
    assert (only_event().state, only_event().claimed_by, only_event().attempts) == (State.WARMING, "w2", 1)
    assert not RunSource.objects.exists()


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


def test_warming_by_hand_stops_when_the_server_goes_and_asks_it_once_later(server: Server) -> None:
    configured = settings()
    default, golden = configured.tracking_servers["default"], server.transport
    server.transport = FakeMlflow({}, failures=[503] * 2)
    report = warm_now([RUN_ID, "second", "third"], default, configured)
    assert all("503" in reason for reason in report.failed.values())
    assert len(report.failed) == 3
    assert len(server.transport.asked("runs/get")) == 1
    server.transport = FakeMlflow({}, failures=[502] * 1)
    assert "502" in warm_now([RUN_ID], default, configured).failed[RUN_ID]
    assert server.transport.asked("runs/get") == []
    server.transport = golden
    assert warm_now([RUN_ID], default, configured).failed == {}


def test_a_run_that_no_event_announced_is_warmed_by_its_id(server: Server) -> None:
    report = warm_now([RUN_ID, "f" * 32], settings().tracking_servers["default"], settings())
    assert [warmed.run_id for warmed in report.warmed] == [RUN_ID]
    assert "not found" in report.failed["f" * 32]
    assert str(report).startswith("1 run warm, 1 failed: ")
    assert Run.objects.get().experiment_name == "two-tower"
    assert not InboxEvent.objects.exists()


def _raise(error: Exception) -> Callable[..., Any]:
    def raises(*_: Any, **__: Any) -> Any:
        raise error

    return raises


def up_to(metrics: dict[str, Points], epochs: int) -> dict[str, Points]:
    """The metrics after that number of epochs, without final metrics."""
    return {
        key: [point for point in points if point[0] < epochs]
        for key, points in metrics.items()
        if not key.startswith(("final_", "test_", "batch/"))
    }
