"""``python -m workers replay``: it records a request and watches. The replay needs the command no further."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.utils import timezone

from deploy.local.process import Process, free_port
from store import retention
from store import warm as door
from store.models import InboxEvent, Run
from tests.store.samples import NOON, announce, warm_run
from tests.waiting import PATIENCE, wait
from tests.workers.conftest import queued
from tests.workers.replay import steps
from tests.workers.replay.test_batches import run_with
from warmboard.contract.cloudevents import EventError
from warmboard.contract.replay import REPLAY_REQUESTED, ReplayRequest, Selection
from workers import inbox
from workers.queue import Turn, app
from workers.replay import batches, command
from workers.replay.command import ReplayError, replay, show

State = InboxEvent.State
COMMAND = """
import runpy, signal
# Python ignores Ctrl-C where its parent does, as a shell's background job.
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("workers", run_name="__main__", alter_sys=True)
"""


def request() -> InboxEvent:
    """The one that was recorded."""
    return InboxEvent.objects.get(type=REPLAY_REQUESTED)


def works_between_polls(monkeypatch: pytest.MonkeyPatch, fails: Collection[str] = ()) -> None:
    """A worker does what is queued whenever the command sleeps."""
    between_polls(monkeypatch, lambda: steps.work(fails))


def between_polls(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Acts instead of sleeping, in the command alone: other threads of this process sleep as ever."""
    clock = SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: act())
    monkeypatch.setattr(command, "time", clock)


@pytest.mark.usefixtures("tables", "queue")
class TestInProcess:
    """The command beside a worker that takes its turns in this process."""

    def test_all_selected_runs_are_warmed_and_failures_listed(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(batches, "BATCH", 2)
        for number in range(5):
            run_with(State.FAILED, f"run{number}")
        works_between_polls(monkeypatch, fails=["run1"])
        assert replay(Selection(failed=True), PATIENCE) == ["run1"]
        said = capsys.readouterr()
        assert "runs with failed events: 4 warm, 1 failed" in said.out
        assert "run run1 failed: still no such run" in said.err
        assert (request().state, request().reason) == (State.DONE, "queued 5 runs")

    def test_the_request_is_one_as_it_comes_through_pubsub(self) -> None:
        run_with(State.FAILED, "a")
        since = NOON - timedelta(hours=1)
        replay(Selection(failed=True, since=since), 0)
        row = request()
        read = ReplayRequest.decode(bytes(row.data), row.attributes)
        assert read.selection == Selection(failed=True, since=since)
        assert (read.source, read.requested_by) == (row.source, "the command line")
        assert row.source == "/warmboard/workers/replay"
        assert queued() == [("replay_runs", [row.pk, 0, "", 0])]
        replay(Selection(failed=True, since=since), 0)
        assert InboxEvent.objects.filter(type=REPLAY_REQUESTED).count() == 2, "asked for twice: two requests"

    def test_one_run(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        run_with(State.DONE, "a")
        works_between_polls(monkeypatch)
        assert replay(Selection(run_id="a"), PATIENCE) == []
        assert "run a: warm after" in capsys.readouterr().out

    def test_one_run_that_has_expired(self, monkeypatch: pytest.MonkeyPatch) -> None:
        announce("a")
        door.put(warm_run("old", run_id="a"))
        assert retention.expire(timezone.now(), 10) == 1
        works_between_polls(monkeypatch)
        begin = timezone.now()
        assert replay(Selection(run_id="a"), PATIENCE) == []
        fetched_at = Run.objects.get().fetched_at
        assert fetched_at
        assert fetched_at > begin

    def test_a_run_that_is_not_known(self) -> None:
        with pytest.raises(ReplayError, match=r"no event has announced run b; `python -m workers warm b` warms it"):
            replay(Selection(run_id="b"), 0)
        assert not InboxEvent.objects.exists()

    def test_what_no_request_can_carry_is_not_recorded(self) -> None:
        with pytest.raises(EventError, match="experiment_name"):
            replay(Selection(experiment_name="x" * 501), 0)
        assert not InboxEvent.objects.exists()

    def test_nothing_to_replay_asks_for_nothing(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert replay(Selection(failed=True), 60) == []
        assert "runs with failed events: 0 warm, 0 failed" in capsys.readouterr().out
        assert not InboxEvent.objects.exists()

    def test_a_missing_worker_is_noticed(self) -> None:
        run_with(State.FAILED, "a")
        with pytest.raises(
            ReplayError, match=r"still not warm: 1 run; no progress for 0 s: is a worker running\? The replay goes on"
        ):
            replay(Selection(failed=True), 0.2)
        assert batches.due(timezone.now() + timedelta(days=1)) == [Turn(request().pk, 1)]

    def test_what_keeps_a_run_from_being_warm_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        run_with(State.DONE, "a")

        def postpones() -> None:
            steps.work(["a"])
            InboxEvent.objects.filter(run_id="a").update(state=State.PENDING, reason="MLflow is down")

        between_polls(monkeypatch, postpones)
        with pytest.raises(ReplayError, match=r"1 run; no progress for 0 s: MLflow is down\. The replay goes on"):
            replay(Selection(run_id="a"), 0.2)

    def test_a_request_that_fails_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        run_with(State.DONE, "a")
        fails = {"state": State.FAILED, "reason": "ZeroDivisionError: unforeseen"}
        between_polls(monkeypatch, lambda: InboxEvent.objects.filter(type=REPLAY_REQUESTED).update(**fails))
        with pytest.raises(ReplayError, match="the request failed: ZeroDivisionError: unforeseen"):
            replay(Selection(everything=True), PATIENCE)

    def test_more_runs_than_one_poll_looks_at(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(command, "WINDOW", 2)
        monkeypatch.setattr(batches, "BATCH", 3)
        for number in range(7):
            run_with(State.DONE, f"run{number}")
        works_between_polls(monkeypatch, fails=["run0", "run6"])
        assert replay(Selection(everything=True), PATIENCE) == ["run0", "run6"]

    def test_waiting_is_not_needed(self, capsys: pytest.CaptureFixture[str]) -> None:
        run_with(State.FAILED, "a")
        assert replay(Selection(failed=True), 0) == []
        assert "runs with failed events: asked for 1 run" in capsys.readouterr().out

    def test_a_dry_run_shows_and_does_nothing(self, capsys: pytest.CaptureFixture[str]) -> None:
        for number in range(22):
            run_with(State.FAILED, f"run{number:02}")
        show(Selection(failed=True))
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == "run run00 (FINISHED, e)"
        assert lines[-2:] == ["… and 2 more", "runs with failed events: 22 would be warmed again"]
        assert len(lines) == 22
        assert inbox.pending() == []


@dataclass
class Site:
    """A database file, and processes that use it."""

    environ: dict[str, str]

    def step(self, name: str) -> str:
        command = [sys.executable, "-m", "tests.workers.replay.steps", name]
        return subprocess.run(command, env=self.environ, capture_output=True, text=True, check=True).stdout.strip()

    def start(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", COMMAND, "replay", *arguments],
            env={**self.environ, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def site_at(database: Path) -> Site:
    return Site({**os.environ, "DATABASE_URL": f"sqlite:///{database}"})


@pytest.fixture(scope="module")
def prepared(valkey: Process, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with five runs, to be copied."""
    database = tmp_path_factory.mktemp("site") / "site.sqlite3"
    site_at(database).step("prepare")
    return database


@pytest.fixture
def site(queue: None, prepared: Path, tmp_path: Path) -> Site:
    return site_at(Path(shutil.copy(prepared, tmp_path)))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_command_that_is_stopped_half_way_loses_nothing(site: Site, number: signal.Signals) -> None:
    process = site.start("--all", "--wait", str(PATIENCE))
    waiting = wait(queued, "the request to be queued")
    dispatch_again(waiting)
    site.step("work")
    assert process.poll() is None, "two of five runs are queued"
    process.send_signal(number)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 130), said
    # Redis loses everything, too.
    app.control.purge()
    assert site.step("sweep_up") == " ".join(steps.RUNS)


def test_without_redis_the_sweep_does_it(site: Site) -> None:
    process = site.start("--all", "--wait", "0", REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    out, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    assert "all runs: asked for 5 runs" in out
    assert "Redis is down; the sweep will queue the replay" in said
    assert site.step("sweep_up") == " ".join(steps.RUNS)


def dispatch_again(tasks: list[tuple[str, list[object]]]) -> None:
    """Queue what was read from the queue to see it."""
    for name, arguments in tasks:
        app.send_task(name, arguments)
