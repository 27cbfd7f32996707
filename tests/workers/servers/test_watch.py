"""Half an hour without MLflow, while 50 runs end: nothing is lost, nothing is hammered, all are warm soon after."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from store.models import InboxEvent, Run, TrackingServerState
from tests.store.samples import NOON
from tests.waiting import PATIENCE
from tests.workers import golden_run
from tests.workers.conftest import clock_is_ahead
from tests.workers.fetch.fake_mlflow import FakeMlflow
from tests.workers.test_inbox import RUN_ID, message
from workers import inbox
from workers.fetch.fetcher import Fetcher
from workers.fetch.server import TrackingServer
from workers.servers import gate, held
from workers.servers.probe import Question
from workers.servers.watch import LONGEST_PAUSE, Watch
from workers.tasks import warm_run
from workers.warm import pipeline

pytestmark = pytest.mark.usefixtures("tables", "queue", "configure")
State = InboxEvent.State
SERVERS = {name: TrackingServer(name, f"http://{name}.test") for name in ("default", "eu")}
RATE = 25


class ManyRuns(FakeMlflow):
    """A server that has every run, or is down."""

    def __init__(self) -> None:
        super().__init__({"loss": golden_run.metrics()["loss"]})
        self.down = False
        self._run_id = ""

    def _answer(self, path: str, query: Mapping[str, Any], accept: str) -> tuple[int, bytes, dict[str, str]]:
        if self.down:
            return 503, b"no healthy upstream", {}
        self._run_id = query.get("run_id", self._run_id)
        asked = {name: value for name, value in query.items() if name != "run_id"}
        return super()._answer(path, asked, accept)

    def _info(self) -> dict[str, Any]:
        return {**super()._info(), "run_id": self._run_id}


class Beat:
    """Beat's watch with a clock of its own. ``queued`` are the runs that it let through."""

    def __init__(self) -> None:
        self.now = 0.0
        self.queued: list[str] = []
        self.watch = Watch(SERVERS, RATE, self.queued.append, clock=lambda: self.now)

    def turn(self, seconds: float = 1.0) -> list[str]:
        """What one turn let through."""
        self.now += seconds
        self.queued.clear()
        self.watch.turn()
        for thread in threading.enumerate():
            if isinstance(thread, Question):
                # Its answer comes within the turn.
                thread.join(PATIENCE)
        return list(self.queued)


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> ManyRuns:
    found = ManyRuns()
    monkeypatch.setattr(pipeline, "fetcher", lambda server, _: Fetcher(server, transport=found))
    monkeypatch.setattr("workers.servers.probe.connections_to", lambda *_: found)
    return found


def end(number: int, server: str = "default") -> str:
    run_id = f"run{number:03}"
    assert inbox.record(message(event_id=run_id, run_id=run_id, tracking_server=server, quick_test_id=None))
    InboxEvent.objects.filter(run_id=run_id).update(received_at=NOON + number * (timezone.now() - NOON) / 1000)
    return run_id


def work(run_id: str) -> str:
    return str(warm_run.apply([run_id]).get())


def test_half_an_hour_without_mlflow(
    mlflow: ManyRuns, configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(RECOVERY_RUNS_PER_SECOND=str(RATE))
    beat = Beat()
    mlflow.down = True
    for second in range(0, 1800, 4):
        assert beat.turn(4) == []
        if second % 36 == 0:
            assert work(end(second // 36)).startswith("held back: waits for tracking server 'default', down since ")
    assert InboxEvent.objects.filter(state=State.PENDING, attempts=0, due_at=None).count() == 50
    assert inbox.due(timezone.now() + timedelta(days=1)) == inbox.pending() == []
    assert len(mlflow.asked("runs/get")) <= 1, "only the first run was tried"
    # A pause is at most LONGEST_PAUSE and two turns, at least half of it, and shorter in the first minute.
    assert 1800 / (LONGEST_PAUSE + 8) <= len(mlflow.asked("experiments/search")) <= 1800 / LONGEST_PAUSE * 2 + 10

    mlflow.down = False
    fresh = end(60)
    work(fresh)
    turns: list[list[str]] = []
    passed: list[str] = []
    monkeypatch.setattr("workers.tasks.dispatch_later", passed.append)
    while Run.objects.exclude(fetched_at=None).count() < 51:
        turns.append(beat.turn())
        assert len(turns[-1]) <= RATE
        passed += turns[-1]
        while passed:
            work(passed.pop(0))
        assert len(turns) <= 60, "seconds since its return"
    assert InboxEvent.objects.filter(state=State.DONE, attempts=1).count() == 51
    assert next(turn for turn in turns if turn)[0] == fresh, "the newest run first"
    assert TrackingServerState.objects.exists(), "until a while has passed, runs come one after the other"
    TrackingServerState.objects.update(next_at=NOON)
    beat.turn()
    assert not TrackingServerState.objects.exists()


def test_a_server_that_is_down_holds_no_other_back(mlflow: ManyRuns) -> None:
    gate.close("eu", "connection refused")
    assert "held back" in work(end(1, "eu"))
    assert "warm" in work(end(2))


def test_the_pauses_grow_and_a_server_that_returns_only_to_go_again_gets_no_shorter_ones(mlflow: ManyRuns) -> None:
    mlflow.down = True
    gate.close("default", "down")
    end(1)
    held.hold("run001", "down")
    beat = Beat()
    for _ in range(200):
        beat.turn()
    before = len(mlflow.asked("experiments/search"))
    mlflow.down = False
    while gate.states() == {"default": True}:
        beat.turn()
    held.hold("run001", "down")
    mlflow.down = True
    gate.close("default", "down")
    for _ in range(int(LONGEST_PAUSE / 2)):
        beat.turn()
    assert len(mlflow.asked("experiments/search")) <= before + 1


def test_a_server_that_is_not_configured_any_longer_holds_nothing_back(mlflow: ManyRuns) -> None:
    end(1, "gone")
    gate.close("gone", "down")
    held.hold("run001", "down")
    assert Beat().turn() == ["run001"]
    assert gate.states() == {}


def test_runs_that_wait_for_a_process_are_let_through_by_a_finished_one(
    mlflow: ManyRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed: list[str] = []
    monkeypatch.setattr("workers.tasks.dispatch_later", passed.append)
    for number in range(3):
        held.hold(end(number), "waits for a process")
    work(end(9))
    assert passed == ["run002"], "the newest"
    assert inbox.pending() == ["run002"]


@pytest.mark.usefixtures("tables")
def test_a_clock_that_is_ahead_takes_no_event_from_its_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    inbox.record(message())
    [event] = inbox.claim(RUN_ID, "w1")
    clock_is_ahead(monkeypatch)
    held.hold(RUN_ID, "waits")
    event.refresh_from_db()
    assert (event.state, event.reason) == (InboxEvent.State.WARMING, "")
