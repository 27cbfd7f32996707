"""Stacks that the old version warmed, upgraded: this version's migrations, webapp and worker, as they are deployed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import redis
import requests

from deploy.local.process import Part, Process, answers_tcp, free_port, has_said
from tests.environment import VALKEY_PORT
from tests.upgrade.fixture import ROWS, Database, as_stored, load_redis, messages, read
from tests.upgrade.mlflow import Mlflow
from tests.waiting import PATIENCE
from tests.workers.fetch.small_server import SmallServer
from warmboard.contract.entries import SCHEMA_VERSION

T = TypeVar("T")


@dataclass
class Stack:
    """One that was upgraded. ``survived`` is each table right after the migrations, ``answers`` what the webapp said
    before any worker had run.
    """

    database: Database
    redis: redis.Redis
    mlflow: Mlflow
    environ: dict[str, str]
    folder: Path
    address: str
    survived: dict[str, list[tuple[Any, ...]]]
    processes: list[Process] = field(default_factory=list)
    answers: dict[tuple[str, str], requests.Response] = field(default_factory=dict)

    def get(
        self, path: str, who: str = "token ada", accept_encoding: str = "identity", if_none_match: str = ""
    ) -> requests.Response:
        """Asks as the old version was asked; ``who`` is as in answers.json. Its body is not decompressed."""
        how, _, name = who.partition(" ")
        known = read("known.json")
        headers = {"Accept-Encoding": accept_encoding}
        if if_none_match:
            headers["If-None-Match"] = if_none_match
        if how == "token":
            headers["Authorization"] = f"Bearer {known['tokens'][name]}"
        if how == "session":
            headers["Cookie"] = f"sessionid={known['sessions'][name]}"
        answer = requests.get(
            self.address + path, headers=headers, allow_redirects=False, stream=True, timeout=PATIENCE
        )
        answer._content = answer.raw.read(decode_content=False)
        return answer

    def stop(self) -> None:
        for process in self.processes:
            process.stop()


def upgrade(database: Database, number: int, folder: Path, static: Path, mlflow: SmallServer) -> Stack:
    """Loads Redis and migrates the tables. ``number`` is that of the Redis database."""
    port = free_port()
    days = str((datetime.now(UTC) - datetime(2023, 1, 1, tzinfo=UTC)).days)
    environ = os.environ | {
        "DATABASE_URL": database.url,
        "REDIS_URL": f"redis://127.0.0.1:{VALKEY_PORT}/{number}",
        "DJANGO_SETTINGS_MODULE": "webapp.settings",
        "WEBAPP_SECRET_KEY": read("known.json")["secret_key"],
        "WEBAPP_STATIC_ROOT": str(static),
        "WEBAPP_PORT": str(port),
        "WEBAPP_PROCESSES": "1",
        "MLFLOW_TRACKING_URI": mlflow.address,
        "SWEEP_SECONDS": "1",
        "DISCOVER_SECONDS": "0",
        "WORKER_HEARTBEAT": str(folder / "worker.heartbeat"),
        "BEAT_HEARTBEAT": str(folder / "beat.heartbeat"),
        # What came, or was fetched, in 2020 goes; the rest of the fixture stays.
        "RETENTION_DAYS": days,
        "INBOX_RETENTION_DAYS": days,
    }
    client = redis.Redis(port=VALKEY_PORT, db=number)
    client.flushdb()
    load_redis(client)
    manage(environ, "migrate", "--verbosity=0")
    survived = {table: current(database, table) for table in ROWS}
    assert isinstance(mlflow.answer, Mlflow)
    return Stack(database, client, mlflow.answer, environ, folder, f"http://127.0.0.1:{port}", survived)


def serve(stack: Stack) -> None:
    """Starts the webapp. To be called by the main thread: the kernel ends a process with the thread that began it."""
    part = Part("webapp", [sys.executable, "-m", "webapp", "serve"], answers_tcp(int(stack.environ["WEBAPP_PORT"])))
    stack.processes.append(Process(part, stack.environ, stack.folder / "webapp.log"))


def ask(stack: Stack) -> None:
    """Reads every address that the old version was asked for, as a browser that has its answer."""
    for process in stack.processes:
        process.wait_ready(PATIENCE)
    for asked in read("answers.json"):
        known = asked.get("etag", "")
        stack.answers[asked["path"], asked["who"]] = stack.get(asked["path"], asked["who"], if_none_match=known)


def manage(environ: dict[str, str], *words: str) -> None:
    command = [sys.executable, "-m", "webapp", "manage", *words]
    subprocess.run(command, env=environ, check=True, timeout=PATIENCE)


def work(stack: Stack) -> str:
    """Runs a worker until it has done every task that the old version left in Redis, and what followed from them; then
    beat, too, until the sweep has found nothing more to rebuild. Returns what the worker said.
    """
    log, beat_log = stack.folder / "worker.log", stack.folder / "beat.log"
    workers = [sys.executable, "-m", "workers"]
    # No event runs out of attempts on a busy machine.
    environ = {**stack.environ, "WARM_ATTEMPTS": "100", "LOG_LEVEL": "INFO"}
    del environ["DJANGO_SETTINGS_MODULE"]
    worker = Process(Part("worker", [*workers, "worker", "--concurrency=1"], has_said(log, " ready.")), environ, log)
    schedule = f"--schedule={stack.folder / 'celerybeat'}"
    try:
        worker.wait_ready(PATIENCE)
        _wait_until(lambda: all(outcome in log.read_text() for outcome in outcomes()), log)
        unfinished = "SELECT event_id FROM store_inboxevent WHERE state IN ('pending', 'warming')"
        _wait_until(lambda: not stack.database.query(unfinished), log)
        beat = Process(Part("beat", [*workers, "beat", schedule], has_said(beat_log, "Starting")), environ, beat_log)
        try:
            outdated = f"SELECT run_id FROM store_run WHERE schema_version < {SCHEMA_VERSION}"  # noqa: S608 - ours
            _wait_until(lambda: not stack.database.query(outdated), log)
        finally:
            beat.stop()
    finally:
        worker.stop()
    return log.read_text()


def outcomes() -> list[str]:
    """What a worker says of each old message once it has done it."""
    return [f"Task {name}[{task_id}] succeeded" for task_id, (name, _) in messages().items()]


def together(call: Callable[..., T], arguments: Iterable[tuple[Any, ...]]) -> list[T]:
    """Several calls at a time; raises what the first of them raised."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda some: call(*some), arguments))


def current(database: Database, table: str) -> list[tuple[Any, ...]]:
    """The rows that the fixture has of a table, as they are now, with their columns of then."""
    content = ROWS[table]
    names = ", ".join(f'"{column}"' for column in content["columns"])
    found = {row[0]: row for row in database.query(f'SELECT {names} FROM "{table}"')}  # noqa: S608 - ours
    return [
        tuple(as_stored(value, like) for value, like in zip(found.get(row[0], ()), row, strict=False))
        for row in content["rows"]
    ]


def _wait_until(done: Callable[[], bool], log: Path) -> None:
    begin = time.monotonic()
    while not done():
        said = log.read_text()
        assert "unregistered task" not in said, said[-5000:]
        assert "raised unexpected" not in said, said[-5000:]
        assert time.monotonic() - begin < PATIENCE, said[-5000:]
        time.sleep(0.05)
