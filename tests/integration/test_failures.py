"""Failures between publish and warm, after which the run is warm nevertheless."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import time
import urllib.request
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from mlflow import MlflowClient

from deploy.local.process import answers_http, free_port, open_local, signal_group
from tests.integration.conftest import Running, completed
from tests.waiting import PATIENCE, wait

pytestmark = pytest.mark.integration


@pytest.fixture
def run_id(running: Running) -> str:
    """A run of four epochs, logged with the stock client and not announced. Its server counts as up: while the stack
    started, beat may have asked it too early, and a run that waits for it is not fetched.
    """
    client = MlflowClient(running.stack.environ["MLFLOW_TRACKING_URI"])
    name = "logged by the stock client"
    experiment = client.get_experiment_by_name(name)
    run = client.create_run(experiment.experiment_id if experiment else client.create_experiment(name))
    for epoch in range(4):
        client.log_metric(run.info.run_id, "loss", 1 / (epoch + 1), step=epoch)
    client.set_terminated(run.info.run_id)
    wait(lambda: not _down(running), "beat to see that MLflow is up")
    return str(run.info.run_id)


def test_the_same_event_three_times_warms_once(running: Running, run_id: str) -> None:
    end = datetime.now(UTC).replace(microsecond=0)
    for _ in range(3):
        running.complete(run_id, end_time=end)
    running.wait_state(run_id, "warm")
    running.publish(*completed("f" * 32, experiment_name="a later one").encode())
    running.wait_state("f" * 32, "failed")
    summary = running.summary(run_id)
    assert [(event["state"], event["attempts"]) for event in summary["events"]] == [("done", 1)]
    # The worker says so after the event is settled.
    times = wait(lambda: running.process("worker").log.read_text().count(f"run {run_id} warm:"), "the worker to say so")
    assert times == 1


def test_a_run_that_mlflow_does_not_know_says_so(running: Running) -> None:
    running.complete("e" * 32)
    summary = running.wait_state("e" * 32, "failed")
    assert "e" * 32 in summary["reason"]
    assert "404" in summary["reason"]
    answer = running.get(f"/api/runs/{'e' * 32}/training-history/")
    assert (answer["available"], answer["state"]) == (False, "failed")


def test_an_undecodable_message_is_kept_and_the_next_one_is_processed(running: Running, run_id: str) -> None:
    before = _unreadable(running)
    running.publish(b"\xff not an event", {"ce-type": "nonsense"})
    running.complete(run_id)
    running.wait_state(run_id, "warm")
    kept = wait(lambda: _unreadable(running)[len(before) :], "the broken message to be kept")
    assert [(bytes(data), reason) for data, reason in kept] == [
        (b"\xff not an event", "attribute ce-specversion is None, not '1.0'")
    ]


@pytest.mark.parametrize("part", ["subscriber", "worker"])
def test_a_part_that_was_killed_before_the_event_came_warms_it_when_it_is_back(
    running: Running, run_id: str, part: str
) -> None:
    running.kill(part)
    running.complete(run_id)
    if part == "worker":
        running.wait_state(run_id, "pending")
    assert running.get(f"/api/runs/{run_id}/training-history/")["available"] is False
    running.start(part)
    running.wait_state(run_id, "warm")


def test_a_redis_that_hangs_does_not_delay_the_inbox(running: Running, run_id: str) -> None:
    running.freeze("valkey")
    try:
        running.complete(run_id)
        running.wait_state(run_id, "pending")
        running.complete("d" * 32)
        running.wait_state("d" * 32, "pending")
    finally:
        running.thaw("valkey")
    running.wait_state(run_id, "warm")


@pytest.mark.parametrize(
    "change",
    [{"end_time": "9999-12-31T23:59:59-10:00"}, {"experiment_name": "\ud800"}, {"quick_test_id": 10**30}, None],
    ids=["time beyond the calendar", "half a character", "huge number", "deeply nested"],
)
def test_no_message_stops_the_subscriber(running: Running, run_id: str, change: dict[str, Any] | None) -> None:
    data, attributes = completed(run_id).encode()
    before = len(_unreadable(running))
    poison = b"[" * 200_000 if change is None else json.dumps(json.loads(data) | change).encode()
    running.publish(poison, attributes)
    wait(lambda: len(_unreadable(running)) > before, "the message to be kept")
    running.complete(run_id)
    running.wait_state(run_id, "warm")


def test_a_subscriber_survives_pubsub(running: Running, run_id: str) -> None:
    running.kill("pubsub")
    running.start("pubsub")
    running.complete(run_id)
    running.wait_state(run_id, "warm")


def test_a_run_whose_process_was_killed_is_taken_up_again(running: Running, run_id: str) -> None:
    """First the child that fetches it, as if memory was short; then the main process, whose children must end too."""
    running.freeze("mlflow")
    try:
        running.complete(run_id)
        child = _fetching(running, run_id, attempts=1)
        os.kill(child, signal.SIGKILL)
        child = _fetching(running, run_id, attempts=2)
        os.kill(running.process("worker").pid, signal.SIGKILL)
        wait(lambda: _has_ended(child), "the child of a killed worker to end")
    finally:
        running.thaw("mlflow")
        running.kill("worker")
        running.start("worker")
    summary = running.wait_state(run_id, "warm")
    assert summary["events"][0]["attempts"] >= 3


def test_a_worker_that_is_asked_to_end_gives_its_run_back(running: Running, run_id: str) -> None:
    running.freeze("mlflow")
    try:
        running.complete(run_id)
        _fetching(running, run_id, attempts=1)
        # Everything of its group, as a terminal does.
        signal_group(running.process("worker").pid, signal.SIGTERM)
        wait(lambda: running.process("worker").ended() is not None, "the worker to end")
        assert running.wait_state(run_id, "pending")["events"][0]["attempts"] == 0
        assert f"run {run_id} is given back" in running.process("worker").log.read_text()
    finally:
        running.thaw("mlflow")
        running.kill("worker")
        running.start("worker")
    running.wait_state(run_id, "warm")


def test_with_mlflow_down_everything_warm_still_answers_and_what_is_not_waits(
    running: Running, trained: dict[str, Any], run_id: str
) -> None:
    waits = run_id
    run_id, test_id = trained["run_id"], trained["quick_test_id"]
    histogram = "histogram-data/?type=gradients&tower=candidate"
    running.kill("mlflow")
    try:
        for root in (f"/api/runs/{run_id}/", f"/api/quick-tests/{test_id}/"):
            for path in ("training-history/", "training-history/?resolution=full", histogram):
                assert running.get(root + path)["available"] is True
        assert running.get("/api/runs/")["runs"]
        assert running.get(f"/api/runs/{run_id}/")["state"] == "warm"
        for page in ("", f"runs/{run_id}/", f"quick-tests/{test_id}/"):
            assert _status(running, page) == 200
        running.complete(waits)
        outage = wait(lambda: running.summary(waits).get("waiting_for"), "the run to wait for MLflow")
        assert outage["tracking_server"] == "default"
        assert running.get(f"/api/runs/{waits}/training-history/")["waiting_for"] == outage
        # Longer than the sweep's clocks: it queues no run that is held back.
        wait(lambda: _asked_since(running, outage["since"]), "beat to ask MLflow again")
        assert running.summary(waits)["events"][0]["attempts"] == 0
    finally:
        running.start("mlflow")
    assert running.wait_state(waits, "warm")["events"][0]["attempts"] == 1


def test_a_run_that_an_older_version_has_warmed_is_rebuilt_without_mlflow(running: Running, run_id: str) -> None:
    running.complete(run_id)
    running.wait_state(run_id, "warm")
    running.freeze("mlflow")
    try:
        with sqlite3.connect(running.stack.data / "warmboard.sqlite3") as tables:
            tables.execute("delete from store_warmentry where run_id = ?", [run_id])
            tables.execute("update store_run set schema_version = 1 where run_id = ?", [run_id])
        running.wait_state(run_id, "warm")
        wait(lambda: f"run {run_id} rebuilt: warm" in running.process("worker").log.read_text(), "the worker to say so")
    finally:
        running.thaw("mlflow")
    with sqlite3.connect(running.stack.data / "warmboard.sqlite3") as tables:
        assert tables.execute("select count(*) from store_warmentry where run_id = ?", [run_id]).fetchone()[0] > 1


def test_replay_warms_a_run_again(running: Running, trained: dict[str, Any]) -> None:
    path = f"/api/runs/{trained['run_id']}/"
    before, history = running.get(path)["warmed_at"], running.get(path + "training-history/")
    done = running.command("workers", "replay", "--run", trained["run_id"])
    assert done.returncode == 0, done.stderr
    assert "warm after" in done.stdout
    assert running.get(path)["warmed_at"] > before
    assert running.get(path + "training-history/") == history, "a run that has not changed keeps its body"


def test_replay_of_a_run_without_an_event_says_so(running: Running) -> None:
    done = running.command("workers", "replay", "--run", "0" * 32)
    assert done.returncode == 1
    assert f"no event has announced run {'0' * 32}" in done.stderr


def test_checks_tell_a_living_process_from_a_dead_one(running: Running) -> None:
    for process in ("subscriber", "worker", "beat"):
        wait(partial(_passes, running, process), f"{process} to have a heartbeat")
    running.kill("worker")
    try:
        heartbeat = Path(running.stack.environ["WORKER_HEARTBEAT"])
        os.utime(heartbeat, (time.time() - 40,) * 2)
        assert not _passes(running, "worker")
    finally:
        running.start("worker")


def _has_ended(pid: int) -> bool:
    """Whether the process runs no more; one that its new parent has not waited for is still there."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _fetching(running: Running, run_id: str, *, attempts: int) -> int:
    """Wait until the run is in progress for at least that time: on a busy machine a lease may expire. Returns the
    process that fetches it.
    """

    def claimed() -> int | None:
        with sqlite3.connect(running.stack.data / "warmboard.sqlite3") as tables:
            row = tables.execute(
                "select claimed_by from store_inboxevent where run_id = ? and state = 'warming' and attempts >= ?",
                [run_id, attempts],
            ).fetchone()
        return int(row[0].rpartition("/")[2]) if row else None

    found: int = wait(claimed, f"attempt {attempts}", lambda: running.summary(run_id))
    return found


def test_health_and_metrics_ports_answer(running: Running, run_id: str) -> None:
    ports: dict[str, tuple[int, int]] = {}
    for name in ("subscriber", "worker", "beat"):
        health = free_port(0, {port for pair in ports.values() for port in pair})
        ports[name] = health, free_port(0, {health, *(port for pair in ports.values() for port in pair)})
        part = running.process(name).part
        running.process(name).stop()
        Path(running.stack.environ[f"{name.upper()}_HEARTBEAT"]).unlink()
        environ = {"HEALTH_PORT": str(health), "METRICS_PORT": str(ports[name][1])}
        running.supervisor.start(replace(part, environ=environ))
    for name, (health, metrics) in ports.items():
        wait(answers_http(f"http://127.0.0.1:{health}/healthz"), f"the health port of {name} to answer")
        wait(answers_http(f"http://127.0.0.1:{metrics}/metrics"), f"the metrics port of {name} to answer")
    running.complete(run_id)
    running.wait_state(run_id, "warm")
    for name, sample in (
        ("subscriber", 'warmboard_messages_total{outcome="kept"} 1.0'),
        ("worker", 'warmboard_publish_to_warm_seconds_count{type="warmboard.run.completed.v1"} 1.0'),
        ("beat", 'warmboard_tracking_server_state{server="default",state="up"} 1.0'),
    ):
        with open_local(f"http://127.0.0.1:{ports[name][1]}/metrics", PATIENCE) as answer:
            assert sample in answer.read().decode().splitlines()


def test_flower_shows_a_task_after_a_restart_too(running: Running, run_id: str) -> None:
    running.complete(run_id)
    running.wait_state(run_id, "warm")
    # Celery says how a task ended right after we say that the run is warm.
    said = rf"run {run_id} warm: .*\n.* Task warm_run\[([\w-]+)\] succeeded"
    task: re.Match[str] = wait(lambda: re.search(said, running.process("worker").log.read_text()), "the task to end")
    shown = answers_http(f"{running.stack.urls['flower']}task/{task[1]}")
    wait(shown, "Flower to show the task")
    running.process("flower").stop()
    running.start("flower")
    assert shown()


def test_doctor_finds_no_fault_in_the_stack(running: Running) -> None:
    done = running.command("workers", "doctor", "--json")
    found = json.loads(done.stdout)["findings"]
    assert [each for each in found if each["level"] == "failure"] == []
    assert done.returncode == 0
    texts = " ".join(each["text"] for each in found)
    for words in (
        "SQLite",
        "migrations are applied",
        "Valkey",
        "one answers: celery@",
        "belongs to it",
        "a run is fetched with one request",
        "the bucket of gs://",
        "the subscriber works",
        "webapp answers",
        "Flower answers",
    ):
        assert words in texts, texts
    assert "older version of Warmboard" not in texts
    assert running.stack.environ["WEBAPP_SECRET_KEY"] not in done.stdout


def _passes(running: Running, process: str) -> bool:
    return running.command("workers", "check", process).returncode == 0


def _status(running: Running, path: str) -> int:
    with urllib.request.urlopen(running.stack.urls["web"] + path, timeout=PATIENCE) as answer:
        return int(answer.status)


def _asked_since(running: Running, since: str) -> bool:
    """Whether beat has asked the server a few times since it is down."""
    (server,) = running.get("/api/operations/")["parts"]["tracking_servers"]
    asked = server["asked_at"]
    return bool(asked and datetime.fromisoformat(asked) - datetime.fromisoformat(since) > timedelta(seconds=6))


def _down(running: Running) -> list[Any]:
    """The tracking servers that count as down."""
    with sqlite3.connect(running.stack.data / "warmboard.sqlite3") as tables:
        return tables.execute("select name from store_trackingserverstate where down_since is not null").fetchall()


def _unreadable(running: Running) -> list[tuple[bytes, str]]:
    with sqlite3.connect(running.stack.data / "warmboard.sqlite3") as tables:
        return tables.execute(
            "select data, reason from store_inboxevent where state = 'unreadable' order by id"
        ).fetchall()
