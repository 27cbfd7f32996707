"""The stack that is broken: all parts of `make up`, MLflow behind a proxy, the database on a disk that can be filled.

A part that ends is started again at once, as Compose or Kubernetes would.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from chaos.disk import small_disk
from chaos.proxy import Proxy
from deploy.local.postgres import Postgres
from deploy.local.process import Process, free_port
from deploy.local.stack import Stack
from deploy.local.supervisor import Supervisor

SERVER = "stormy"
"""The name of the tracking server behind the proxy."""
DATABASES = ("sqlite", "postgresql")
WATCH_SECONDS = 0.2
CLOCKS = {"DISCOVER_SECONDS": "0", "WEBAPP_RATE_LIMIT": "1000000000"}
"""No sweep for unannounced runs: it would hide what is lost."""


class Stage:
    """A context manager: inside it every part is up, and what ends is started again."""

    def __init__(self, folder: Path, database: str, clocks: Mapping[str, str]) -> None:
        self._folder, self._database, self._clocks = folder, database, clocks
        self._exit = ExitStack()
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="watcher", daemon=True)
        self.postgres: Postgres | None = None
        self.restarts = 0
        self.peak_bytes = 0
        """The largest resident memory of a process of the worker that was seen."""

    def __enter__(self) -> Self:
        with ExitStack() as entering:
            self.disk = self._folder / "disk"
            self.can_fill = entering.enter_context(small_disk(self.disk))
            port = free_port()
            self.proxy = entering.enter_context(Proxy(f"http://127.0.0.1:{port}"))
            given = {
                **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
                **CLOCKS,
                **self._clocks,
                "MLFLOW_PORT": str(port),
                "MLFLOW_TRACKING_SERVERS": f"{SERVER}={self.proxy.address}",
                "DATABASE_URL": self._database_url(entering),
            }
            self.supervisor = entering.enter_context(Supervisor(Stack(self._folder / "data", given)))
            entering.callback(self._stop_watching)
            self._watcher.start()
            self._exit = entering.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.close()

    @property
    def stack(self) -> Stack:
        return self.supervisor.stack

    @property
    def mlflow(self) -> str:
        """MLflow's own address, past the proxy."""
        return self.stack.environ["MLFLOW_TRACKING_URI"]

    def process(self, part: str) -> Process:
        if part == "postgres" and self.postgres:
            return self.postgres.process
        return self.supervisor.processes[part]

    def tree(self, part: str) -> list[psutil.Process]:
        """The part's process and all below it; empty if it has just ended."""
        with suppress(psutil.NoSuchProcess):
            main = psutil.Process(self.process(part).pid)
            return [main, *main.children(recursive=True)]
        return []

    def _database_url(self, entering: ExitStack) -> str:
        if self._database == "sqlite":
            return f"sqlite:///{self.disk}/warmboard.sqlite3"
        self._folder.chmod(0o755)
        self.postgres = Postgres(self.disk)
        self.postgres.start()
        entering.callback(self.postgres.stop)
        return self.postgres.url()

    def _watch(self) -> None:
        while not self._over.wait(WATCH_SECONDS):
            for name in (*self.supervisor.processes, *(["postgres"] if self.postgres else [])):
                if self.process(name).ended() is not None:
                    self._start_again(name)
            for process in self.tree("worker"):
                with suppress(psutil.NoSuchProcess):
                    self.peak_bytes = max(self.peak_bytes, process.memory_info().rss)

    def _start_again(self, name: str) -> None:
        self.restarts += 1
        if name == "postgres" and self.postgres:
            self.postgres.start_again()
            return
        ended = self.supervisor.processes[name]
        ended.kill()
        self.supervisor.start(ended.part)

    def _stop_watching(self) -> None:
        self._over.set()
        self._watcher.join()
