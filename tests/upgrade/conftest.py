"""Two stacks of the old version, one on SQLite and one on PostgreSQL, brought up to date side by side."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from deploy.local.postgres import Postgres
from deploy.local.process import Process
from tests.upgrade.fixture import Database, Postgresql, Sqlite, runs_of_mlflow
from tests.upgrade.mlflow import Mlflow
from tests.upgrade.stack import Stack, ask, manage, serve, together, upgrade, work
from tests.workers.fetch.small_server import serving

NAMES = ("sqlite", "postgresql")
REDIS_DATABASES = {"sqlite": 13, "postgresql": 14}


@pytest.fixture(scope="session")
def stacks(valkey: Process, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Stack]]:
    """By the database's name, each migrated and served; no worker has run."""
    folders = {name: tmp_path_factory.mktemp(name) for name in NAMES}
    static = folders["sqlite"] / "static"
    manage({**os.environ, "WEBAPP_STATIC_ROOT": str(static)}, "collectstatic", "--noinput", "--verbosity=0")
    databases = {"sqlite": _sqlite(folders["sqlite"]), "postgresql": _postgresql(postgres)}
    with ExitStack() as opened:
        servers = {name: opened.enter_context(serving(Mlflow(runs_of_mlflow()))) for name in NAMES}
        asked = [(databases[name], REDIS_DATABASES[name], folders[name], static, servers[name]) for name in NAMES]
        upgraded = together(upgrade, asked)
        for stack in upgraded:
            opened.callback(stack.stop)
            serve(stack)
        together(ask, [(stack,) for stack in upgraded])
        yield dict(zip(NAMES, upgraded, strict=True))


@pytest.fixture(scope="session")
def worked(stacks: dict[str, Stack]) -> dict[str, str]:
    """What a worker of each stack said while it did what the old version left to do, and what the sweep found."""
    said = together(work, [(stacks[name],) for name in NAMES])
    return dict(zip(NAMES, said, strict=True))


@pytest.fixture(params=NAMES)
def stack(request: pytest.FixtureRequest, stacks: dict[str, Stack]) -> Stack:
    return stacks[request.param]


def _sqlite(folder: Path) -> Database:
    database = Sqlite(folder / "old.sqlite3")
    database.load()
    return database


def _postgresql(server: Postgres) -> Database:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE upgraded")
    database = Postgresql(server.url("upgraded"))
    database.load()
    return database
