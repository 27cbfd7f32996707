"""The health port: what it answers, and its bounds."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from deploy.local.process import free_port
from tests.waiting import PATIENCE, wait
from warmboard.contract.settings import SettingError
from workers.health import server as module
from workers.health.server import CONNECTIONS, HealthServer, serve_health
from workers.heartbeat import UnhealthyError, touch


@contextmanager
def served(check: Callable[[], str] = lambda: "fine") -> Iterator[int]:
    with HealthServer(0, check) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def get(port: int, path: str = "/healthz", method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request(method, path)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), PATIENCE)


def test_the_heartbeat_of_the_process_decides(tmp_path: Path) -> None:
    heartbeat, port = tmp_path / "beat", free_port()
    server = serve_health("beat", {"HEALTH_PORT": str(port), "BEAT_HEARTBEAT": str(heartbeat)})
    assert server
    try:
        assert get(port) == (503, f"there is no heartbeat at {heartbeat}: the process has not started working\n")
        touch(heartbeat)
        assert get(port) == (200, "the last heartbeat is 0 s old\n")
        os.utime(heartbeat, (time.time() - 40,) * 2)
        assert get(port) == (503, f"the last heartbeat at {heartbeat} is 40 s old\n")
    finally:
        server.shutdown()
        server.server_close()


def test_there_is_no_port_by_default() -> None:
    assert serve_health("beat", {}) is None


def test_nothing_else_is_served() -> None:
    with served() as port:
        assert get(port)[0] == 200
        assert get(port, "/")[0] == get(port, "/healthz/x")[0] == get(port, "/healthz?x")[0] == 404
        assert get(port, method="POST")[0] == get(port, method="PUT")[0] == 501


def test_a_taken_port_is_named() -> None:
    with served() as port, pytest.raises(SettingError, match=f"HEALTH_PORT: {port} can't be listened on: .*in use"):
        HealthServer(port, lambda: "fine")


def test_a_slow_client_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.2)
    with served() as port, connected(port) as slow:
        slow.sendall(b"GET /hea")
        assert slow.recv(100) == b""


def test_more_than_its_connections_are_closed_and_it_answers_again() -> None:
    with served() as port:
        with ExitStack() as stack:
            waiting = [stack.enter_context(connected(port)) for _ in range(CONNECTIONS)]
            for one in waiting:
                one.sendall(b"G")

            def is_refused() -> bool:
                with connected(port) as another:
                    another.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
                    try:
                        return another.recv(100) == b""
                    except ConnectionResetError:
                        return True

            wait(is_refused, "one connection too many to be closed")

        def answers() -> bool:
            try:
                return get(port)[0] == 200
            except (ConnectionError, http.client.HTTPException):
                return False

        wait(answers, "the port to answer again")


def test_a_forked_child_does_not_hold_the_port() -> None:
    with served() as port:
        child = os.fork()
        if not child:
            signal.pause()
            os._exit(0)

    def is_free() -> bool:
        try:
            with HealthServer(port, lambda: "fine"):
                return True
        except SettingError:
            return False

    try:
        # The child closes it soon after the fork.
        wait(is_free, "the port to be free")
        os.kill(child, 0)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_check_that_fails_while_it_is_asked_says_why() -> None:
    def check() -> str:
        raise UnhealthyError("no tasks since noon")

    with served(check) as port:
        assert get(port) == (503, "no tasks since noon\n")
