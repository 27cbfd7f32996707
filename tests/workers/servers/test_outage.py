"""Whose failure an error is."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import psycopg
import pytest
from django.db import DataError, Error, InterfaceError, InternalError, OperationalError
from psycopg import errors as sqlstate

from store.models import TrackingServerState
from store.warm import HotCopyError
from tests.workers.fetch.fake_mlflow import FakeMlflow
from workers.errors import DeletedError, NotMlflowError, PermanentError, ThrottledError, TransientError
from workers.fetch.api import MlflowStatusError
from workers.fetch.server import TrackingServer
from workers.servers.outage import is_down, outage_of

SERVER = TrackingServer("default", "http://mlflow.test")


def caused(error: Error, by: Exception) -> Error:
    error.__cause__ = by
    return error


@pytest.mark.parametrize(
    "cause",
    [
        sqlstate.AdminShutdown(), sqlstate.CrashShutdown(), sqlstate.CannotConnectNow(), sqlstate.DiskFull(),
        sqlstate.TooManyConnections(), sqlstate.DeadlockDetected(), sqlstate.LockNotAvailable(),
        sqlstate.SerializationFailure(), psycopg.OperationalError("the connection is closed"),
    ],
    ids=lambda cause: type(cause).__name__,
)  # fmt: skip
def test_postgresql_is_down(cause: Exception) -> None:
    assert is_down(caused(OperationalError(), cause))


@pytest.mark.parametrize("cause", [sqlstate.QueryCanceled(), sqlstate.ProgramLimitExceeded()])
def test_postgresql_refuses_a_statement(cause: Exception) -> None:
    assert not is_down(caused(OperationalError(), cause))


def test_a_standby_and_a_broken_connection_are_outages() -> None:
    assert is_down(caused(InternalError(), sqlstate.ReadOnlySqlTransaction()))
    assert is_down(InterfaceError("connection already closed"))
    assert not is_down(DataError("out of range"))


def test_sqlite_tells_a_locked_file_from_a_wrong_statement(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "f") as holder, sqlite3.connect(tmp_path / "f", timeout=0) as other:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError) as locked:
            other.execute("SELECT * FROM sqlite_master")
        holder.rollback()
        with pytest.raises(sqlite3.OperationalError) as wrong:
            other.execute("SELECT * FROM nothing")
    assert is_down(caused(OperationalError(), locked.value))
    assert not is_down(caused(OperationalError(), wrong.value))


@pytest.fixture
def transport(monkeypatch: pytest.MonkeyPatch) -> FakeMlflow:
    """The wire to the server that is asked."""
    found = FakeMlflow({})
    monkeypatch.setattr("workers.servers.probe.connections_to", lambda *_: found)
    return found


@pytest.mark.django_db
@pytest.mark.parametrize(
    "error", [TransientError("500"), NotMlflowError("garbage"), MlflowStatusError("a proxy's page", 404, "")]
)
def test_the_server_decides_if_it_is_down(transport: FakeMlflow, error: Exception) -> None:
    assert outage_of(error, SERVER) is None, "it answers"
    assert not TrackingServerState.objects.exists()
    transport.failures = [503]
    outage = outage_of(error, SERVER)
    assert outage
    assert outage.seconds is None
    assert "answers 503" in outage.reason
    assert TrackingServerState.objects.get().down_since


@pytest.mark.django_db
@pytest.mark.parametrize(
    "error",
    [
        PermanentError("no"), DeletedError("gone"), MlflowStatusError("not found", 404, "RESOURCE_DOES_NOT_EXIST"),
        MlflowStatusError("sign in", 401, ""), KeyError("a bug"),
    ],
)  # fmt: skip
def test_what_a_server_says_about_a_run_is_no_outage(transport: FakeMlflow, error: Exception) -> None:
    transport.failures = [503] * 2
    assert outage_of(error, SERVER) is None
    assert transport.requests == []


@pytest.mark.django_db
def test_a_server_that_is_asked_too_often_is_not_asked_again_at_once(transport: FakeMlflow) -> None:
    outage = outage_of(ThrottledError("MLflow answered 429"), SERVER)
    assert outage
    assert "429" in outage.reason
    assert transport.requests == []
    assert TrackingServerState.objects.get().down_since


def test_a_redis_that_is_down() -> None:
    outage = outage_of(HotCopyError("Redis is down"), SERVER)
    assert outage
    assert outage.seconds
