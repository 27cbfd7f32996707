"""Real MLflow servers for these tests, and a client of the bulk route."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import sqlalchemy
from mlflow import MlflowClient
from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlMetric
from numpy.typing import NDArray

from deploy.local import isolated
from deploy.local.process import Part, Process, answers_http, free_port
from tests.environment import GIVEN
from tests.mlflow_2_9 import binaries
from tests.paths import ROOT
from tests.waiting import PATIENCE
from workers.fetch.budget import Budget, Limits
from workers.fetch.database.route import DatabaseRoute
from workers.history.ndjson import Reading, read_lines, write_run

ENTRYPOINT = ROOT / "mlflow_server" / "entrypoint.sh"
PATH = f"{Path(sys.executable).parent}{os.pathsep}{GIVEN['PATH']}"
Command = Sequence[str]
STARTS = ("sh", str(ENTRYPOINT))
BULK = "/api/2.0/warmboard"
BUILD = ROOT / "build"
NEW_DATABASE = """
import sys
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

SqlAlchemyStore(sys.argv[1], "mlflow-artifacts:/")
"""
ADMIN = "admin", "correct-horse-battery"
"""Of the server with a sign-in: its user who may do everything, and the password."""
LARGEST = sys.float_info.max
Columns = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
Point = tuple[str, int, int, float]
"""Key, step, timestamp, value."""


@dataclass(frozen=True)
class Server:
    """A running server. ``uri`` is its database; requests don't use proxies."""

    address: str
    uri: str
    session: requests.Session = field(default_factory=requests.Session, repr=False)

    def __post_init__(self) -> None:
        self.session.trust_env = False

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.address)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.session.get(self.address + path, timeout=PATIENCE, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return self.session.post(self.address + path, timeout=PATIENCE, **options)

    def history(self, run_id: str, **options: Any) -> requests.Response:
        """The whole response; `params` are those of requests."""
        return self.get(f"{BULK}/runs/{run_id}/history", **options)

    def read(self, run_id: str, **parameters: Any) -> Answer:
        """By the bulk route; and the same must come from the database, if it can be asked so."""
        content = self.read_once(run_id, **parameters)
        if "prefix" not in parameters:
            assert_same(self.by_database(run_id, parameters.get("from_step")), read_lines(content.splitlines()))
        return Answer.of(content)

    def read_once(self, run_id: str, **parameters: Any) -> bytes:
        response = self.history(run_id, params=parameters, headers={"Accept-Encoding": "gzip"})
        assert response.status_code == 200, response.text
        return response.content

    def by_database(self, run_id: str, from_step: int | None = None) -> Reading:
        """The run as the workers read it from the database."""
        route = DatabaseRoute(self.uri)
        try:
            return route.read(run_id, from_step, lambda: None, Budget(Limits(), self.address))
        finally:
            route.close()


@dataclass(frozen=True)
class Answer:
    """The bulk route's response, checked: each axis comes before its first use, and the end has the right counts."""

    head: dict[str, Any]
    curves: dict[str, Columns]
    """Key → steps, timestamps, values."""
    axes: int
    lines: int

    @classmethod
    def of(cls, body: bytes) -> Answer:
        head, *lines, end = [json.loads(line, parse_constant=_not_strict) for line in body.splitlines()]
        axes: list[dict[str, Any]] = []
        parts: dict[str, list[list[NDArray[Any]]]] = {}
        for line in lines:
            if "key" not in line:
                assert line["axis"] == len(axes)
                axes.append(line)
                continue
            axis = axes[line["axis"]]
            columns = [np.array(axis["steps"]), np.array(axis["timestamps"]), _values(line)]
            assert len({len(column) for column in columns}) == 1 <= len(columns[0]) <= 100_000
            parts.setdefault(line["key"], []).append(columns)
        curves = {key: _joined(found) for key, found in parts.items()}
        points = sum(len(steps) for steps, _, _ in curves.values())
        assert end == {"end": True, "metrics": len(curves), "points": points}
        return cls(head, curves, len(axes), len(lines))

    def points(self, key: str) -> list[tuple[int, int, float]]:
        """(step, timestamp, value) one by one."""
        return list(zip(*(column.tolist() for column in self.curves[key]), strict=True))


def assert_same(one: Reading, other: Reading) -> None:
    """Two readings of one run, from NaN to the order of its models."""
    assert write_run(one.run.printable()) == write_run(other.run.printable())
    assert {key: repr(point) for key, point in one.latest.items()} == {
        key: repr(point) for key, point in other.latest.items()
    }


def _joined(parts: list[list[NDArray[Any]]]) -> Columns:
    steps, timestamps, values = map(np.concatenate, zip(*parts, strict=True))
    return steps, timestamps, values


def _values(line: Mapping[str, Any]) -> NDArray[Any]:
    values = np.array(line["values"], np.float64)
    for name, positions in line.get("non_finite", {}).items():
        assert np.isnan(values[positions]).all()
        values[positions] = float(name)
    return values


def _not_strict(name: str) -> float:
    raise AssertionError(f"{name} is no JSON")


@contextmanager
def started(folder: Path, uri: str, command: Command = STARTS, **environ: str) -> Iterator[Server]:
    """A server, by default from our start script, in a clean environment, until the end of the block."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    given = {
        **GIVEN,
        "PATH": PATH,
        "MLFLOW_BACKEND_STORE_URI": uri,
        "MLFLOW_ARTIFACT_ROOT": str(folder / "artifacts"),
        "MLFLOW_PORT": str(port),
        "MLFLOW_WORKERS": "1",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        **environ,
    }
    part = Part("mlflow", list(command), answers_http(f"{address}{_prefix(command)}/health"), address, stop_all=True)
    process = Process(part, given, folder / "mlflow.log")
    try:
        process.wait_ready(PATIENCE)
        server = Server(address, uri)
        yield server
        # A server waits for its connections before it ends.
        server.session.close()
    finally:
        process.stop()


def stock(folder: Path) -> AbstractContextManager[Server]:
    """MLflow's own server, without our plugin."""
    given = {"MLFLOW_ARTIFACTS_DESTINATION": str(folder / "artifacts")}
    return started(folder, new_database(folder), ["mlflow", "server"], **given)


def guarded(folder: Path) -> AbstractContextManager[Server]:
    """MLflow's own server with its own sign-in. A user who was given no permission may read nothing."""
    rules = folder / "auth.ini"
    rules.write_text(
        f"[mlflow]\ndefault_permission = NO_PERMISSIONS\ndatabase_uri = sqlite:///{folder}/users.sqlite3\n"
    )
    given = {
        "MLFLOW_ARTIFACTS_DESTINATION": str(folder / "artifacts"),
        "MLFLOW_AUTH_CONFIG_PATH": str(rules),
        "MLFLOW_AUTH_ADMIN_USERNAME": ADMIN[0],
        "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN[1],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "only for tests",
    }
    return started(folder, new_database(folder), ["mlflow", "server", "--app-name=basic-auth"], **given)


def old(folder: Path) -> AbstractContextManager[Server]:
    """The server of MLflow 2.9.2. Skips the test if it can't be installed."""
    programs, uri = binaries(), f"sqlite:///{folder}/mlflow.sqlite3"
    command = [str(programs / "mlflow"), "server", "--workers=1", f"--backend-store-uri={uri}"]
    return started(folder, uri, command, PATH=f"{programs}:/usr/bin:/bin")


@contextmanager
def fasttrackml(folder: Path) -> Iterator[Server]:
    """FastTrackML, which has MLflow's REST API. Skips the test if it can't be installed."""
    try:
        program = isolated.binaries("fasttrackml") / "fml"
    except isolated.NotInstalledError as error:
        pytest.skip(f"not run: fetching from FastTrackML, which can't be installed ({error})")
    port, uri = free_port(), f"sqlite://{folder}/fasttrackml.db"
    address = f"http://127.0.0.1:{port}"
    command = [str(program), "server", f"--listen-address=127.0.0.1:{port}", f"--database-uri={uri}"]
    process = Process(
        Part("fasttrackml", command, answers_http(f"{address}/health"), address), GIVEN, folder / "fasttrackml.log"
    )
    try:
        process.wait_ready(PATIENCE)
        yield Server(address, uri)
    finally:
        process.stop()


def new_database(folder: Path, name: str = "mlflow.sqlite3") -> str:
    """The URI of a tracking database in the folder, with MLflow's tables.

    MLflow takes seconds to make them, so one is made, kept in ``build/`` and copied. Processes wait for each other.
    """
    template = BUILD / f"mlflow-{version('mlflow')}.sqlite3"
    BUILD.mkdir(exist_ok=True)
    with (BUILD / "mlflow.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not template.exists():
            draft = template.with_suffix(".draft")
            draft.unlink(missing_ok=True)
            subprocess.run([sys.executable, "-c", NEW_DATABASE, f"sqlite:///{draft}"], env=GIVEN, check=True)
            draft.replace(template)
    shutil.copy(template, folder / name)
    return f"sqlite:///{folder / name}"


def _prefix(command: Command) -> str:
    return next((word.partition("=")[2] for word in command if word.startswith("--static-prefix=")), "")


def insert(uri: str, run_id: str, points: Iterable[Point]) -> None:
    """Write points into the tables, as the server does: NaN and infinity encoded, latest points in their own table."""
    rows = [_row(run_id, *point) for point in points]
    latest = {row["key"]: row for row in sorted(rows, key=lambda row: (row["step"], row["timestamp"], row["value"]))}
    engine = sqlalchemy.create_engine(uri)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.insert(SqlMetric), rows)
        connection.execute(sqlalchemy.insert(SqlLatestMetric), list(latest.values()))
    engine.dispose()


def _row(run_id: str, key: str, step: int, timestamp: int, value: float) -> dict[str, Any]:
    is_nan = value != value
    stored = 0.0 if is_nan else max(-LARGEST, min(LARGEST, value))
    return {"run_uuid": run_id, "key": key, "step": step, "timestamp": timestamp, "value": stored, "is_nan": is_nan}
