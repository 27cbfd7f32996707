"""What hangs at the other end, or on the way: resolvers, networks that drop everything."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import ConnectionHandler, OperationalError

from store import names
from store.connection import BoundedTlsConnection, connect
from store.hot import Hot
from tests.waiting import PATIENCE
from warmboard.contract.entries import Encoding, EntryKey, Resolution

KEY = EntryKey.history("abc123def456", Resolution.OVERVIEW)


@pytest.fixture
def resolver_hangs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """No name in .example is answered until the test ends; those that were asked for."""
    asked: list[str] = []
    end, really = threading.Event(), socket.getaddrinfo

    def getaddrinfo(host: str, *more: Any, **options: Any) -> Any:
        if not str(host).endswith(".example"):
            # Of a thread that another test has left.
            return really(host, *more, **options)
        asked.append(host)
        end.wait()
        raise socket.gaierror("the test has ended")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield asked
    end.set()


@pytest.fixture
def black_hole() -> Iterator[int]:
    """A port that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def database(host: str, port: int) -> BaseDatabaseWrapper:
    options = {"connect_timeout": 2, "statement_seconds": 1, "server_side_binding": True}
    given = {"ENGINE": "store.postgres", "NAME": "warmboard", "USER": "w", "HOST": host, "PORT": port}
    return ConnectionHandler({"default": given | {"OPTIONS": options}})["default"]


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_a_resolver_that_hangs_holds_no_reader_of_redis(resolver_hangs: list[str], scheme: str) -> None:
    hot = Hot(f"{scheme}://redis.example:6379/0")
    assert hot.read([KEY], Encoding.GZIP) == {}
    assert hot.add("count", 1, 60) is None
    assert resolver_hangs == ["redis.example"], "while it rests, nothing is asked"


def test_a_name_is_looked_up_by_one_thread_however_many_ask(resolver_hangs: list[str]) -> None:
    for _ in range(3):
        with pytest.raises(OSError, match=r"no answer about the name 'redis.example' within 0\.01 s"):
            names.addresses_of("redis.example", 6379, 0.01)
    assert resolver_hangs == ["redis.example"]


def test_a_look_up_that_could_not_begin_does_not_keep_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(OSError, match="'localhost' can't be looked up: can't start new thread"):
            names.addresses_of("localhost", 6379, PATIENCE)
    assert "127.0.0.1" in names.addresses_of("localhost", 6379, PATIENCE)


def test_a_resolver_that_hangs_holds_no_reader_of_the_database(resolver_hangs: list[str]) -> None:
    with pytest.raises(OperationalError, match="name of the database's host can't be looked up"):
        database("db.example", 5432).ensure_connection()


def test_a_database_that_never_answers_holds_no_one(black_hole: int) -> None:
    with pytest.raises(OperationalError, match="timeout expired"):
        database("localhost", black_hole).ensure_connection()


def test_a_redis_that_never_answers_holds_no_one(black_hole: int) -> None:
    client = connect(f"redis://localhost:{black_hole}/0", seconds=0.1)
    with pytest.raises(redis.TimeoutError):
        client.ping()


def test_addresses_are_tried_in_turn_and_the_name_is_kept(monkeypatch: pytest.MonkeyPatch, black_hole: int) -> None:
    monkeypatch.setattr("store.connection.addresses_of", lambda *_: ["127.0.0.99", "127.0.0.1"])
    make: Any = BoundedTlsConnection
    connection = make(host="redis.example", port=black_hole, socket_connect_timeout=0.5, socket_timeout=0.1)
    with pytest.raises(redis.RedisError):
        connection.connect()
    assert connection.host == "redis.example"
    assert connection.check_hostname
    assert connection.cert_reqs.name == "CERT_REQUIRED"
