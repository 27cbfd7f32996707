"""Points from a database: rows and arrays, at once and in passes, are the same, from one moment and one workspace."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.store.tracking.sqlalchemy_workspace_store import WorkspaceAwareSqlAlchemyStore
from mlflow.utils.workspace_context import WorkspaceContext
from sqlalchemy.orm import Session
from warmboard_mlflow import arrays, rows
from warmboard_mlflow.head import read_head
from warmboard_mlflow.points import Points
from warmboard_mlflow.routes import _hold_the_moment, _lines
from warmboard_mlflow.selection import Selection

from tests.mlflow_server.servers import Point, Server, insert

pytestmark = pytest.mark.integration
Read = Callable[..., Iterator[Points]]
WAYS = [("on_sqlite", rows.read_points), ("on_postgres", rows.read_points), ("on_postgres", arrays.read_points)]
KEYS = ["loss", "val_loss", "Loss", "% done_"]
POINTS: list[Point] = [(key, step, 100 - step, step / 7) for step in (3, -1, 2, 0, 2**40) for key in KEYS]


@pytest.fixture(params=WAYS, ids=["SQLite rows", "PostgreSQL rows", "PostgreSQL arrays"])
def way(request: pytest.FixtureRequest) -> tuple[Server, Read]:
    fixture, read = request.param
    return request.getfixturevalue(fixture), read


@pytest.fixture
def session(way: tuple[Server, Read]) -> Iterator[Session]:
    engine = sqlalchemy.create_engine(way[0].uri)
    with Session(engine) as session:
        _hold_the_moment(session)
        yield session
    engine.dispose()


def new_run(server: Server) -> str:
    run_id: str = server.client.create_run("0").info.run_id
    insert(server.uri, run_id, POINTS)
    return run_id


def told(points: Iterator[Points]) -> dict[str, list[tuple[int, int, float]]]:
    return {
        found.key: list(zip(found.steps.tolist(), found.timestamps.tolist(), found.values.tolist(), strict=True))
        for found in points
    }


def wanted(has: Callable[[str, int], bool]) -> dict[str, list[tuple[int, int, float]]]:
    curves: dict[str, list[tuple[int, int, float]]] = {}
    for key, step, timestamp, value in sorted(POINTS):
        if has(key, step):
            curves.setdefault(key, []).append((step, timestamp, value))
    return curves


@pytest.mark.parametrize("limit", [rows.HELD_POINTS, 12], ids=["at once", "in passes"])
@pytest.mark.parametrize(
    ("selection", "has"),
    [
        ({}, lambda key, step: True),
        ({"prefixes": ("l", "% ")}, lambda key, step: key in ("loss", "% done_")),
        ({"from_step": 2}, lambda key, step: step >= 2),
        ({"prefixes": ("val",), "from_step": 3}, lambda key, step: key == "val_loss" and step >= 3),
        ({"prefixes": ("x",)}, lambda key, step: False),
    ],
)
def test_every_way_reads_the_same(
    way: tuple[Server, Read], session: Session, limit: int, selection: dict[str, Any], has: Callable[[str, int], bool]
) -> None:
    server, read = way
    asked = Selection(new_run(server), **selection)

    assert told(read(session, asked, limit)) == wanted(has)


def test_passes_block_no_writer_and_leave_out_what_is_written_meanwhile(
    way: tuple[Server, Read], session: Session
) -> None:
    server, read = way
    run_id = new_run(server)
    reading = read(session, Selection(run_id), 12)
    first = next(reading)
    server.client.log_batch(run_id, [Metric(key, 1.0, 99, 99) for key in ("loss", "Loss", "new")])

    assert {**told(iter([first])), **told(reading)} == wanted(lambda key, step: True)


def test_a_run_of_another_workspace_is_not_found(
    on_sqlite: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_WORKSPACES", "true")
    # A copy, because a server without workspaces refuses a database that has some.
    database = tmp_path / "mlflow.sqlite3"
    shutil.copy(on_sqlite.uri.removeprefix("sqlite:///"), database)
    store = WorkspaceAwareSqlAlchemyStore(f"sqlite:///{database}", str(tmp_path))
    with WorkspaceContext("theirs"):
        experiment = store.create_experiment("secret")
        run_id = store.create_run(experiment, "me", 0, [], "run").info.run_id
        with Session(store.engine) as session:
            assert read_head(store, session, run_id)["run"]["experiment_name"] == "secret"
    caught = pytest.raises(MlflowException, match="not found")
    with WorkspaceContext("ours"), Session(store.engine) as session, caught as error:
        read_head(store, session, run_id)
    store._dispose_engine()

    assert error.value.error_code == "RESOURCE_DOES_NOT_EXIST"


@pytest.mark.parametrize("fixture", ["on_sqlite", "on_postgres"])
def test_an_answer_that_is_left_or_fails_half_way_gives_its_connection_back(
    request: pytest.FixtureRequest, tmp_path: Path, fixture: str
) -> None:
    server: Server = request.getfixturevalue(fixture)
    selection = Selection(new_run(server))
    store = SqlAlchemyStore(server.uri, str(tmp_path))
    left, failing = _lines(store, selection), _lines(store, selection)
    for lines in (left, failing):
        assert [b'"version"' in next(lines), b'"axis"' in next(lines)] == [True, True]
    left.close()
    with pytest.raises(ArithmeticError):
        failing.throw(ArithmeticError)

    assert store.engine.pool.checkedout() == 0
    store._dispose_engine()
