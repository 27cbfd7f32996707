"""What counts as an answer of MLflow to a request about no run."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from deploy.local.process import free_port
from tests.workers.fetch.small_server import Answer, serving
from workers.fetch.server import TrackingServer
from workers.servers.probe import ask


def answered(answer: Answer) -> str | None:
    with serving(lambda *_: answer) as server:
        return ask(TrackingServer("s", server.address))


@pytest.mark.parametrize(
    "answer",
    [
        (200, b'{"experiments": [{"experiment_id": "0"}], "next_page_token": "x"}', {}),
        (200, b"{}", {}),
        (403, b'{"error_code": "PERMISSION_DENIED", "message": "no"}', {}),
        (400, b'{"error_code": "INVALID_PARAMETER_VALUE", "message": "no"}', {}),
        (401, b"You are not authenticated.", {}),
        (403, b"Invalid Host header", {}),
    ],
)
def test_mlflow_has_answered(answer: Answer) -> None:
    assert answered(answer) is None


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((500, b'{"error_code": "INTERNAL_ERROR", "message": "database"}', {}), "answers 500: .*database"),
        ((503, b"no healthy upstream", {}), "answers 503: no healthy upstream"),
        ((429, b'{"error_code": "RESOURCE_EXHAUSTED"}', {}), "answers 429"),
        ((408, b"", {}), "answers 408"),
        ((404, b"<html>default backend</html>", {}), "answers 404"),
        ((302, b"", {"Location": "https://maintenance.example"}), "answers 302"),
        ((200, b"<!doctype html>", {}), "unlike MLflow: is it an MLflow server"),
        ((200, b"[]", {}), "unlike MLflow"),
        ((200, b'{"experiments": 5}', {}), "unlike MLflow"),
        ((200, b"\xff" * 3_000_000, {}), "unlike MLflow"),
    ],
)
def test_what_is_no_answer_of_mlflow(answer: Answer, said: str) -> None:
    reason = answered(answer)
    assert reason
    assert re.search(said, reason)
    assert len(reason) < 1000


def test_no_server() -> None:
    reason = ask(TrackingServer("s", f"http://127.0.0.1:{free_port()}"))
    assert reason
    assert "does not answer" in reason


@pytest.mark.parametrize("begins", [b"", b"HTTP/1.1 200 OK\r\nX", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"])
def test_a_server_that_hangs_has_one_question_at_a_time(begins: bytes) -> None:
    with hanging(begins) as (server, asked):
        for _ in range(3):
            assert "does not answer within" in str(ask(server, seconds=0.2))
        assert len(asked) == 1


def test_a_question_that_could_not_begin_does_not_keep_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda *_: (200, b"{}", {})) as server:
        tracking = TrackingServer("s", server.address)
        with monkeypatch.context() as full:
            full.setattr(threading.Thread, "start", no_thread)
            with pytest.raises(RuntimeError):
                ask(tracking)
        assert ask(tracking) is None


def no_thread(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_the_credentials_are_sent() -> None:
    with serving(lambda *_: (200, b"{}", {})) as server:
        assert ask(TrackingServer.at("s", server.address.replace("://", "://t0ken@"))) is None
        assert server.authorizations == ["Bearer t0ken"]


@contextmanager
def hanging(begins: bytes) -> Iterator[tuple[TrackingServer, list[Any]]]:
    """A server that begins an answer and does not go on; the connections that it took."""
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            while True:
                try:
                    connection = listening.accept()[0]
                except OSError:
                    return
                taken.append(connection)
                connection.sendall(begins)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield TrackingServer("s", f"http://127.0.0.1:{listening.getsockname()[1]}"), taken
        for connection in taken:
            connection.close()
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
