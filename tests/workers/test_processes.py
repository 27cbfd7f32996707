"""Names of workers, and what becomes of the claims of a child that was killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from billiard.einfo import ExceptionInfo
from billiard.exceptions import WorkerLostError
from celery.worker import state
from celery.worker.request import Request
from kombu.message import Message

from store import clock
from store.models import InboxEvent
from tests.waiting import PATIENCE
from tests.workers.conftest import outdated, queued
from tests.workers.test_inbox import RUN_ID, message
from workers import inbox, processes
from workers.processes import ClaimingRequest, claimant, end, give_back, unique_name
from workers.queue import app
from workers.tasks import rebuild_run, warm_run
from workers.warm import rebuilds

pytestmark = pytest.mark.usefixtures("tables", "queue")
State = InboxEvent.State
WORKER, CHILD = "celery@localhost-1a2b3c4d", 10


class Answers:
    """What the main process tells the broker."""

    def __init__(self) -> None:
        self.requeued: list[bool] = []

    def reject(self, _: Any, __: Any, requeue: bool) -> None:
        self.requeued.append(requeue)


def request(answers: Answers, task: Any = warm_run, arguments: Sequence[object] = (RUN_ID,)) -> Any:
    """The task of a run, as the main process of the worker has it while a child runs it."""
    headers = {"id": "1", "task": task.name, "lang": "py", "root_id": "1", "parent_id": None, "argsrepr": ""}
    body = json.dumps([arguments, {}, {}]).encode()
    arrived = Message(body=body, headers=headers, content_type="application/json", content_encoding="utf-8")
    kind = ClaimingRequest if task is warm_run else Request
    found = kind(arrived, app=app, hostname=WORKER, task=task, on_reject=answers.reject)
    found.worker_pid = CHILD
    return found


def failure(error: Exception) -> ExceptionInfo:
    try:
        raise error
    except type(error):
        return ExceptionInfo()


def test_workers_of_one_host_have_different_names() -> None:
    names = {unique_name() for _ in range(100)}
    assert len(names) == 100
    assert all(name.startswith("celery@") for name in names)
    assert claimant(WORKER).startswith(f"{WORKER}/")


def test_what_a_killed_child_held_is_released_before_its_task_is_queued_again() -> None:
    inbox.record(message())
    inbox.record(message(event_id="other", run_id="other"))
    inbox.claim(RUN_ID, f"{WORKER}/{CHILD}")
    inbox.claim("other", f"{WORKER}/{CHILD}1")
    answers = Answers()
    lost = WorkerLostError(f"Worker exited prematurely: signal {signal.SIGKILL}")
    request(answers).on_failure(failure(lost))
    assert answers.requeued == [True]
    assert inbox.pending() == [RUN_ID]


def test_a_task_that_fails_keeps_what_it_recorded() -> None:
    inbox.record(message())
    inbox.claim(RUN_ID, f"{WORKER}/{CHILD}")
    request(Answers()).on_failure(failure(ValueError("a bug")), return_ok=True)
    assert InboxEvent.objects.get().state == State.WARMING


def test_an_ending_worker_queues_what_it_gives_back() -> None:
    inbox.record(message())
    inbox.claim(RUN_ID, f"{WORKER}/{CHILD}")
    give_back(WORKER[:-1], [])
    assert queued() == []
    give_back(WORKER, [request(Answers())])
    assert queued() == [("warm_run", [RUN_ID])]


def test_an_ending_worker_gives_its_rebuilds_back() -> None:
    for run_id in ("here", "elsewhere"):
        outdated(run_id)
        assert rebuilds.claim(run_id, 1, 3) is None
        assert rebuilds.claim(run_id, 0, 3)
    assert rebuilds.due(clock.now(), 3) == []
    give_back(WORKER, [request(Answers(), rebuild_run, ["here", 0])])
    assert [(due.run_id, due.attempts) for due in rebuilds.due(clock.now(), 3)] == [("here", 0)]


def test_a_child_that_ends_meanwhile_does_not_keep_its_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    with subprocess.Popen(["sleep", "600"]) as busy:
        ended = ending(monkeypatch)
        monkeypatch.setattr(state, "active_requests", {request(Answers())})
        try:
            end(WORKER, SimpleNamespace(info={"processes": [gone.pid, busy.pid]}))
            assert busy.wait(PATIENCE) == -signal.SIGKILL
        finally:
            busy.kill()
    assert ended == [0]


def test_a_worker_ends_even_if_its_tasks_change_while_they_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Changing(set[object]):
        def __iter__(self) -> Iterator[object]:
            raise RuntimeError("Set changed size during iteration")

    ended = ending(monkeypatch)
    monkeypatch.setattr(state, "active_requests", Changing([1]))
    end(WORKER, SimpleNamespace(info={"processes": []}))
    assert ended == [0]


def ending(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Have a worker end at once; the exit statuses of this process, which goes on."""
    statuses: list[int] = []
    monkeypatch.setattr(os, "_exit", statuses.append)
    for name in ("GRACE_SECONDS", "END_SECONDS"):
        monkeypatch.setattr(processes, name, 0.0)
    return statuses
