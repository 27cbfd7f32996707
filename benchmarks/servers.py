"""MLflow servers to measure: ours and a stock one side by side on one database, on SQLite and on PostgreSQL; or only
one of ours.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.postgres import Postgres
from deploy.local.process import Part, Process, answers_http, free_port
from deploy.local.stack import ROOT

READY_SECONDS = 120.0
GIVEN = ("HOME", "LANG")
OURS = ["sh", str(ROOT / "mlflow_server" / "entrypoint.sh")]


@dataclass(frozen=True)
class Servers:
    """Addresses of two MLflow servers on one database. Both have two processes and uvloop."""

    database: str
    uri: str
    ours: str
    stock: str


@contextmanager
def new_postgres() -> Iterator[tuple[Postgres, Path]]:
    """A running PostgreSQL, and a folder for other files; both are gone with the context."""
    with tempfile.TemporaryDirectory(prefix="warmboard-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        server = Postgres(folder / "postgres")
        server.start()
        try:
            yield server, folder
        finally:
            server.stop()


@contextmanager
def servers() -> Iterator[list[Servers]]:
    """A pair on SQLite and a pair on PostgreSQL; they stop with the context."""
    with tempfile.TemporaryDirectory(prefix="warmboard-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        postgres = Postgres(folder / "postgres")
        postgres.start()
        started: list[Process] = []
        try:
            uris = {"SQLite": f"sqlite:///{folder}/mlflow.sqlite3", "PostgreSQL": postgres.url()}
            yield [_pair(database, uri, folder, started) for database, uri in uris.items()]
        finally:
            for process in started:
                process.stop()
            postgres.stop()


@contextmanager
def our_server() -> Iterator[str]:
    """The address of one of ours, on SQLite; it stops with the context."""
    with tempfile.TemporaryDirectory(prefix="warmboard-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        started: list[Process] = []
        try:
            yield _start("ours", OURS, f"sqlite:///{folder}/mlflow.sqlite3", folder, started)
        finally:
            for process in started:
                process.stop()


def _pair(database: str, uri: str, folder: Path, started: list[Process]) -> Servers:
    # One after the other: the first creates the tables.
    ours = _start(f"{database}-ours", OURS, uri, folder, started)
    options = [f"--backend-store-uri={uri}", f"--artifacts-destination={folder}/artifacts", "--workers=2"]
    stock = _start(f"{database}-stock", ["mlflow", "server", *options], uri, folder, started)
    return Servers(database, uri, ours, stock)


def _start(name: str, command: list[str], uri: str, folder: Path, started: list[Process]) -> str:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    environ = {
        **{name: os.environ[name] for name in GIVEN if name in os.environ},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "MLFLOW_BACKEND_STORE_URI": uri,
        "MLFLOW_ARTIFACT_ROOT": f"{folder}/artifacts",
        "MLFLOW_PORT": str(port),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    part = Part(name, command, answers_http(f"{address}/health"), address, stop_all=True)
    process = Process(part, environ, folder / f"{name}.log")
    started.append(process)
    process.wait_ready(READY_SECONDS)
    return address
