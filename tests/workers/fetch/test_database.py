"""Reads of MLflow's own database: every known schema, the bounds, and that nothing is written or locked. What is read
equals what the other ways read: tests/integration/test_differential.py, tests/mlflow_server/test_history.py.
"""

from __future__ import annotations

import hashlib
import logging
import re
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from string import Template
from typing import Any

import psycopg
import pytest
import sqlalchemy
from alembic import command
from alembic.script import ScriptDirectory
from mlflow.store.db.utils import _get_alembic_config
from mlflow.store.tracking.dbmodels.initial_models import Base as InitialBase

from deploy.local.postgres import Postgres
from tests.mlflow_server.servers import new_database
from tests.paths import ROOT
from tests.workers.fetch.fake_mlflow import RUN_ID, FakeMlflow
from workers.doctor.finding import Given
from workers.doctor.mlflow_database import checks
from workers.errors import DeletedError, PermanentError, TransientError
from workers.fetch.budget import Budget, Limits
from workers.fetch.database import postgresql, sqlite
from workers.fetch.database.revisions import BEFORE_MODELS, KNOWN
from workers.fetch.database.route import DatabaseRoute
from workers.fetch.database.snapshot import UnreadableError
from workers.fetch.fetcher import READ_AGAIN_SECONDS, Fetcher, TrackingServer
from workers.history.fetched import FetchedRun
from workers.history.ndjson import write_run
from workers.settings import Settings

pytestmark = pytest.mark.integration
RUN = "5a" * 16
HEAD = [
    """INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (7, 'shoes', 'active')""",
    """INSERT INTO runs (run_uuid, name, experiment_id, status, start_time, end_time, lifecycle_stage, user_id)
        VALUES ('$run', 'first', 7, 'FINISHED', 1000, 9000, 'active', 'ann')""",
    "INSERT INTO params (run_uuid, key, value) VALUES ('$run', 'opt', 'adam')",
    "INSERT INTO tags (run_uuid, key, value) VALUES ('$run', 'team', 'vision')",
    """INSERT INTO datasets (dataset_uuid, experiment_id, name, digest, dataset_source_type, dataset_source)
        VALUES ('d', 7, 'purchases', 'a1', 'gs', 'somewhere')""",
    """INSERT INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id)
        VALUES ('i', 'DATASET', 'd', 'RUN', '$run')""",
    "INSERT INTO input_tags (input_uuid, name, value) VALUES ('i', 'mlflow.data.context', 'training')",
]
UPDATE = "UPDATE runs SET status = 'RUNNING', end_time = NULL WHERE run_uuid = '$run'"
DELETE = "UPDATE runs SET lifecycle_stage = 'deleted' WHERE run_uuid = '$run'"
POINT = """
INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan)
VALUES ('$key', $step, $step * 10, '$run', $step, '0')
"""
FORGET = "DELETE FROM latest_metrics WHERE run_uuid = '$run' AND key = '$key'"
LATEST = """
INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
VALUES ('$key', $step, $step * 10, $step, '0', '$run')
"""
REVISE = "UPDATE alembic_version SET version_num = '$revision'"
Execute = Callable[..., Any]
"""Runs a statement, whose $names are given."""


def on(run: Callable[[str], Any]) -> Execute:
    return lambda statement, **given: run(Template(statement).substitute(given, run=RUN))


def log(execute: Execute, key: str, steps: range) -> None:
    """Points of one metric: its value is its step, its time 10 times that."""
    for step in steps:
        execute(POINT, key=key, step=step)
    execute(FORGET, key=key)
    execute(LATEST, key=key, step=steps[-1])


def fill(execute: Execute) -> None:
    for statement in HEAD:
        execute(statement)
    for key in ("loss", "acc", "lr"):
        log(execute, key, range(50))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A database of the pinned MLflow with one run."""
    path = Path(new_database(tmp_path).removeprefix("sqlite:///"))
    with closing(sqlite3.connect(path)) as connection, connection:
        fill(on(connection.execute))
    return path


@pytest.fixture(scope="module")
def template(postgres: Postgres) -> str:
    """The name of a database of the pinned MLflow with one run."""
    with psycopg.connect(postgres.url(), autocommit=True) as admin:
        admin.execute("CREATE DATABASE mlflow_read")
    engine = sqlalchemy.create_engine(postgres.url("mlflow_read").replace("://", "+psycopg://"))
    migrate(engine, "head")
    with engine.begin() as connection:
        fill(on(connection.exec_driver_sql))
    engine.dispose()
    return "mlflow_read"


@pytest.fixture
def on_postgres(postgres: Postgres, template: str) -> Iterator[str]:
    """The URI of a copy, for one test."""
    with psycopg.connect(postgres.url(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE one_test TEMPLATE {template}")
        yield postgres.url("one_test")
        admin.execute("DROP DATABASE one_test WITH (FORCE)")


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def uri(request: pytest.FixtureRequest) -> str:
    if request.param == "SQLite":
        return f"sqlite:///{request.getfixturevalue('file')}"
    found: str = request.getfixturevalue("on_postgres")
    return found


@pytest.fixture
def execute(uri: str) -> Iterator[Execute]:
    """Commits each statement, as MLflow does."""
    if uri.startswith("sqlite"):
        with closing(sqlite3.connect(uri.removeprefix("sqlite:///"), isolation_level=None)) as connection:
            yield on(connection.execute)
    else:
        with psycopg.connect(uri, autocommit=True) as other:
            yield on(other.execute)


def budget(**limits: Any) -> Budget:
    return Budget(Limits(**limits), "http://mlflow.test")


def read(uri: str, kept: FetchedRun | None = None, within: Budget | None = None) -> FetchedRun | None:
    with closing(DatabaseRoute(uri)) as route:
        return route.fetch(RUN, kept, lambda: None, within or budget())


def written(run: FetchedRun | None) -> bytes:
    assert run
    return write_run(run.printable())


def migrate(engine: sqlalchemy.Engine, revision: str) -> None:
    """To a revision, as MLflow does it."""
    if not sqlalchemy.inspect(engine).has_table("runs"):
        InitialBase.metadata.create_all(engine)
    config = _get_alembic_config(engine.url.render_as_string(hide_password=False))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def test_every_known_revision_of_the_schema(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/old.sqlite3"
    config = _get_alembic_config(uri)
    revisions = [each.revision for each in ScriptDirectory.from_config(config).walk_revisions()][::-1]
    first = min(map(revisions.index, KNOWN))
    assert set(revisions[first:]) == KNOWN
    assert set(revisions[first : first + len(BEFORE_MODELS)]) == BEFORE_MODELS
    engine = sqlalchemy.create_engine(uri)
    migrate(engine, revisions[first - 1])
    with pytest.raises(UnreadableError, match=f"its schema is {revisions[first - 1]}; known are those of MLflow 2.9.2"):
        read(uri)
    migrate(engine, revisions[first])
    with engine.begin() as connection:
        fill(on(connection.exec_driver_sql))
    of_the_first = written(read(uri))
    for revision in revisions[first + 1 :]:
        migrate(engine, revision)
        assert written(read(uri)) == of_the_first, revision
    engine.dispose()


def test_a_whole_run(uri: str) -> None:
    run = read(uri)
    assert run
    assert (run.experiment_name, run.experiment_id, run.name, run.user) == ("shoes", "7", "first", "ann")
    assert (run.params, run.tags, run.status) == ({"opt": "adam"}, {"team": "vision"}, "FINISHED")
    assert [each["context"] for each in run.datasets] == ["training"]
    assert run.points.keys() == {"loss", "acc", "lr"}
    for points in run.points.values():
        assert points.values.tolist() == points.steps.tolist() == list(range(50))
        assert points.timestamps.tolist() == list(range(0, 500, 10))


def test_slices_and_passes_change_nothing(uri: str, execute: Execute, monkeypatch: pytest.MonkeyPatch) -> None:
    log(execute, "long", range(300))
    at_once = written(read(uri))
    monkeypatch.setattr(sqlite, "SLICE", 7)
    # Below what the planner expects of any run.
    monkeypatch.setattr(postgresql, "GATHERED_POINTS", -1)
    assert written(read(uri)) == at_once
    monkeypatch.setattr(postgresql, "ranges_of", lambda counts, _: postgresql_ranges(counts, 120))
    assert written(read(uri)) == at_once


postgresql_ranges = postgresql.ranges_of


def test_ranges_hold_at_most_as_many_points_as_they_may_or_one_metric() -> None:
    counts = [("a", 3), ("b", 4), ("c", 9), ("d", 1), ("e", 5), ("f", 1)]
    assert list(postgresql.ranges_of(counts, 7)) == [("a", "b"), ("c", "c"), ("d", "f")]
    assert list(postgresql.ranges_of([], 7)) == []


def test_a_running_run_is_read_from_where_it_was(uri: str, execute: Execute) -> None:
    execute(UPDATE)
    whole = budget()
    kept = read(uri, within=whole)
    for key in ("loss", "acc", "lr"):
        log(execute, key, range(50, 53))
    part = budget()
    continued = read(uri, kept, part)
    assert written(continued) == written(read(uri))
    assert part.received < whole.received / 5


def test_nothing_can_be_written(file: Path, on_postgres: str) -> None:
    before = hashlib.sha256(file.read_bytes()).digest()
    with sqlite.Sqlite(str(file)).snapshot(RUN, budget()) as snapshot, pytest.raises(sqlite3.Error, match="readonly"):
        snapshot.rows("DELETE FROM runs")
    with closing(DatabaseRoute(f"sqlite:///{file}")) as route:
        assert route.fetch(RUN, None, lambda: None, budget())
    assert hashlib.sha256(file.read_bytes()).digest() == before
    assert list(file.parent.glob(f"{file.name}-*")) == []
    with (
        pytest.raises(psycopg.Error, match="read-only transaction"),
        postgresql.PostgreSQL(on_postgres).snapshot(RUN, budget()) as other,
    ):
        other.rows("DELETE FROM runs")


def test_the_rights_of_the_how_to_are_enough_and_doctor_says_what_is_too_much(on_postgres: str) -> None:
    def told(uri: str) -> list[str]:
        given = {"MLFLOW_TRACKING_DATABASES": f"default={uri}"}
        settings = Settings.read(given)
        return [found.text for check in checks(settings) for found in check.look(Given(given, settings))]

    [sql] = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "how-to" / "tracking-servers.md").read_text(), re.DOTALL)
    with psycopg.connect(on_postgres, autocommit=True) as admin:
        admin.execute(sql)
        try:
            uri = on_postgres.replace("//warmboard@", "//warmboard_reader:choose%20one@")
            assert written(read(uri)) == written(read(on_postgres))
            assert told(uri) == ["runs are read from it, without HTTP"]
            assert told(on_postgres)[1:] == ["its user may write MLflow's tables, which Warmboard never does"]
            admin.execute("REVOKE SELECT ON latest_metrics FROM warmboard_reader")
            assert told(uri) == ["it can't be read: permission denied for table latest_metrics"]
        finally:
            admin.execute("DROP OWNED BY warmboard_reader; DROP ROLE warmboard_reader")


def test_a_file_that_was_replaced_is_read_and_so_is_one_that_was_lost_for_a_while(file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.sqlite3"
    with sqlite3.connect(file) as source, closing(sqlite3.connect(copy)) as other:
        source.backup(other)
        other.execute("UPDATE runs SET name = 'restored'")
        other.commit()
    with closing(DatabaseRoute(f"sqlite:///{file}")) as route:

        def name() -> str:
            run = route.fetch(RUN, None, lambda: None, budget())
            assert run
            return run.name

        assert [name(), name()] == ["first", "first"]
        copy.replace(file)
        assert name() == "restored"
        file.rename(copy)
        with pytest.raises(UnreadableError, match="it can't be read: unable to open"):
            name()
        copy.rename(file)
        assert name() == "restored"


def test_threads_read_at_the_same_time(file: Path) -> None:
    route = DatabaseRoute(f"sqlite:///{file}")
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: written(route.fetch(RUN, None, lambda: None, budget())), range(40)))
    assert found == {written(read(f"sqlite:///{file}"))}


def test_no_file_is_created(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="it can't be read: unable to open"):
        read(f"sqlite:///{tmp_path}/none.sqlite3")
    assert list(tmp_path.iterdir()) == []


def test_a_writer_never_waits_and_what_it_writes_meanwhile_is_not_half_there(
    uri: str, execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "SLICE", 20)
    before = written(read(uri))
    if uri.startswith("sqlite"):
        execute("PRAGMA busy_timeout = 0")
    written_at: list[int] = []

    def write() -> None:
        step = 100 + len(written_at)
        written_at.append(step)
        log(execute, "loss", range(step, step + 1))

    with closing(DatabaseRoute(uri)) as route:
        run = route.fetch(RUN, None, write, budget())
    assert written_at
    assert written(run) == before


def test_the_deadline_and_the_bytes_bound_a_read(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PermanentError, match=r"the run is too large: .* Raise FETCH_MAX_BYTES"):
        read(uri, within=budget(max_bytes=1_000))
    with pytest.raises(TransientError, match="has not answered in full within 0 s"):
        read(uri, within=budget(seconds=0.0))


def test_a_statement_ends_at_the_deadline(file: Path, on_postgres: str) -> None:
    class Late(Budget):
        """Over as soon as a statement runs."""

        is_over = True

        def seconds(self) -> float:
            return 0.01

    forever = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    late = Late(Limits(), "")
    with sqlite.Sqlite(str(file)).snapshot(RUN, late) as snapshot, pytest.raises(sqlite3.Error, match="interrupted"):
        snapshot.rows(forever)
    with (
        pytest.raises(psycopg.errors.QueryCanceled, match="statement timeout"),
        postgresql.PostgreSQL(on_postgres).snapshot(RUN, late) as other,
    ):
        other.rows(forever)


def test_a_deleted_run(uri: str, execute: Execute) -> None:
    execute(DELETE)
    with pytest.raises(DeletedError, match=f"run {RUN} is deleted in MLflow"):
        read(uri)


def test_few_round_trips(on_postgres: str, tmp_path: Path) -> None:
    """In a cloud each takes a millisecond or two: one for each statement would be more than the reading itself."""
    database = postgresql.PostgreSQL(on_postgres)
    route = DatabaseRoute(on_postgres)
    route._database = database
    route.read(RUN, None, lambda: None, budget())
    assert database._connection
    with closing(database), (tmp_path / "trace").open("w+") as trace:
        database._connection.pgconn.trace(trace.fileno())
        assert len(route.read(RUN, None, lambda: None, budget()).run.points) == 3
        database._connection.pgconn.untrace()
        # Each line has a time, F (from us) or B (from the database), and a message.
        senders = [line.split("\t")[1] for line in trace]
    assert list(pairwise(senders)).count(("F", "B")) <= 6


def test_a_connection_that_was_closed_meanwhile(on_postgres: str) -> None:
    with closing(DatabaseRoute(on_postgres)) as route, psycopg.connect(on_postgres, autocommit=True) as admin:
        before = written(route.fetch(RUN, None, lambda: None, budget()))
        ended = admin.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name = 'warmboard'"
        )
        assert ended.fetchall() == [(True,)]
        assert written(route.fetch(RUN, None, lambda: None, budget())) == before


class TestWithHttpBehindIt:
    """The fetcher, with a server whose run has another ID than the database's."""

    def fetcher(self, uri: str, **options: Any) -> tuple[Fetcher, FakeMlflow]:
        wire = FakeMlflow({"loss": [(0, 1.0, 1)]}, bulk=True)
        server = TrackingServer("default", "http://mlflow.test", database=uri)
        return Fetcher(server, transport=wire, **options), wire

    def test_a_run_that_the_database_lacks_is_asked_of_the_server(self, uri: str) -> None:
        fetcher, wire = self.fetcher(uri)
        assert fetcher.fetch(RUN_ID).points.keys() == {"loss"}
        asked = len(wire.requests)
        assert fetcher.fetch(RUN).points.keys() == {"loss", "acc", "lr"}
        assert len(wire.requests) == asked

    @pytest.mark.parametrize("broken", ["unknown schema", "down"])
    def test_a_database_that_cannot_be_read_is_left_alone_for_a_while(
        self, uri: str, execute: Execute, caplog: pytest.LogCaptureFixture, broken: str
    ) -> None:
        now = [0.0]
        down = "sqlite:////nowhere/x.sqlite3" if uri.startswith("sqlite") else "postgresql://u:s3cret@127.0.0.1:9/x"
        fetcher, _ = self.fetcher(uri if broken == "unknown schema" else down, clock=lambda: now[0])
        [revision] = execute("SELECT version_num FROM alembic_version").fetchone()
        execute(REVISE, revision="ffff")
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                assert fetcher.fetch(RUN_ID).points.keys() == {"loss"}
        [told] = [record.getMessage() for record in caplog.records]
        assert told.startswith("the database of MLflow 'default' is not used for 60 s: ")
        assert "s3cret" not in told
        if broken == "unknown schema":
            assert "its schema is ffff" in told
            execute(REVISE, revision=revision)
            now[0] = READ_AGAIN_SECONDS
            assert fetcher.fetch(RUN).points.keys() == {"loss", "acc", "lr"}
