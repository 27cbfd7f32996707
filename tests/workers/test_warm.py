"""warm(run_id) against a faked MLflow: what ends done, what is tried again, what is given up and why."""

from typing import Any

import pytest

from contract.entries import EntryKey, Resolution
from store import warm as door
from store.models import InboxEvent, QuickTest, Run
from tests.workers import golden_run
from tests.workers.fake_mlflow import RUN_ID, FakeMlflow
from tests.workers.test_inbox import message
from workers import inbox
from workers.errors import PermanentError
from workers.fetch import Fetcher
from workers.settings import Settings
from workers.warm import LONGEST_DELAY, Postponed, backoff, warm

pytestmark = pytest.mark.usefixtures("tables")
State = InboxEvent.State


class Server:
    """What is at the other end of the wire; a test may change it."""

    def __init__(self) -> None:
        self.transport = FakeMlflow(golden_run.metrics(), golden_run.params())


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    found = Server()
    monkeypatch.setattr(
        "workers.warm._fetcher", lambda address, concurrency: Fetcher(address, transport=found.transport)
    )
    return found


def settings(**environ: str) -> Settings:
    return Settings.read({"MLFLOW_TRACKING_URI": "http://mlflow.test", "WARM_ATTEMPTS": "3", **environ})


def announce(**change: Any) -> None:
    assert inbox.record(message(run_id=RUN_ID, **change))


def only_event() -> InboxEvent:
    return InboxEvent.objects.get()


@pytest.mark.usefixtures("server")
def test_a_run_becomes_warm() -> None:
    announce()
    assert "12 epochs" in warm(RUN_ID, settings(), "w1")
    assert (only_event().state, only_event().attempts) == (State.DONE, 1)
    entry = door.get(EntryKey.history(RUN_ID, Resolution.FULL))
    assert entry
    assert entry.decode()["epochs"] == list(range(12))
    assert Run.objects.get().epochs == 12
    test = QuickTest.objects.get(pk=7)
    assert test.training_history_json
    assert test.training_history_json["mlflow_run_id"] == RUN_ID
    assert warm(RUN_ID, settings(), "w1") == "nothing to do: no event that waits"


def test_a_server_that_is_away_is_tried_again_and_then_given_up(server: Server) -> None:
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


def test_a_run_that_mlflow_does_not_know_is_given_up_at_once(server: Server) -> None:
    assert inbox.record(message(run_id="f" * 32))
    with pytest.raises(PermanentError, match="Run not found"):
        warm("f" * 32, settings(), "w1")
    assert only_event().state == State.FAILED


def test_a_server_that_is_not_configured_is_never_called(server: Server) -> None:
    announce(tracking_server="http://evil.example")
    with pytest.raises(PermanentError, match=r"names tracking server 'http://evil\.example'; configured: default"):
        warm(RUN_ID, settings(), "w1")
    assert server.transport.requests == []


def test_a_fault_of_ours_is_given_up_with_its_reason(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    announce()
    monkeypatch.setattr(server.transport, "_runs_get", lambda query: {"unheard": "of"})
    with pytest.raises(KeyError):
        warm(RUN_ID, settings(), "w1")
    assert (only_event().state, only_event().reason) == (State.FAILED, "KeyError: 'run'")


@pytest.mark.usefixtures("server")
def test_a_task_that_kills_its_worker_is_not_repeated_for_ever() -> None:
    announce()
    for _ in range(3):
        inbox.claim(RUN_ID, "w1")
        inbox.release("w1")
    with pytest.raises(PermanentError, match="ended without a result"):
        warm(RUN_ID, settings(), "w1")
    assert only_event().state == State.FAILED


@pytest.mark.usefixtures("server")
def test_a_long_fetch_keeps_its_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    renewed: list[int] = []
    monkeypatch.setattr("workers.warm.RENEW_SECONDS", 0.0)
    monkeypatch.setattr(inbox, "renew", lambda events: renewed.append(len(events)))
    announce()
    warm(RUN_ID, settings(), "w1")
    assert len(renewed) > len(golden_run.metrics()) / 2
    assert set(renewed) == {1}


def test_the_pauses_grow_and_stay_within_their_limit() -> None:
    for attempts in range(1, 30):
        ceiling = min(LONGEST_DELAY, 2.0 ** (attempts - 1))
        assert ceiling / 2 <= backoff(attempts) <= ceiling
