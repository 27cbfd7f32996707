from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from deploy.local.postgres import Postgres
from tests.mlflow_server.servers import ENTRYPOINT, Server, started


@pytest.fixture(scope="session")
def on_sqlite(our_mlflow: Server) -> Server:
    return our_mlflow


@pytest.fixture(scope="session")
def on_postgres(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Iterator[Server]:
    """Our server on PostgreSQL."""
    with psycopg.connect(postgres.url(), autocommit=True) as admin:
        admin.execute("CREATE DATABASE mlflow")
    with started(tmp_path_factory.mktemp("mlflow-postgres"), postgres.url("mlflow")) as server:
        yield server


@pytest.fixture(scope="session")
def prefixed(tmp_path_factory: pytest.TempPathFactory, on_postgres: Server) -> Iterator[Server]:
    """Our server under gunicorn with a static prefix, on the same PostgreSQL."""
    folder: Path = tmp_path_factory.mktemp("mlflow-gunicorn")
    command = ["sh", str(ENTRYPOINT), "--gunicorn-opts=--threads=2", "--static-prefix=/tracking"]
    with started(folder, on_postgres.uri, command) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def server(request: pytest.FixtureRequest) -> Server:
    """Our server, on each database in turn."""
    found: Server = request.getfixturevalue(f"on_{request.param}")
    return found
