"""The health port: ``GET /healthz`` is answered with 200, or with 503 and the reason. Nothing else is served.

A thread answers, so that a process whose work hangs still says so. Bounded: at most CONNECTIONS at a time, each for at
most SECONDS.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from warmboard.contract.settings import HEALTH_PORT, SettingError
from workers.health.check import heartbeat_check
from workers.heartbeat import UnhealthyError

CONNECTIONS = 16
SECONDS = 2.0


class HealthServer(ThreadingHTTPServer):
    """Serves a check, which returns what it saw or raises UnhealthyError, on all addresses. Port 0 is any free one.

    Raises SettingError if the port is taken.
    """

    def __init__(self, port: int, check: Callable[[], str]) -> None:
        super().__init__(("", port), _Handler, bind_and_activate=False)
        self.socket.close()
        both = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if both else socket.AF_INET
        try:
            self.socket = socket.create_server(("", port), family=family, dualstack_ipv6=both, backlog=CONNECTIONS)
        except OSError as error:
            raise SettingError(
                f"HEALTH_PORT: {port} can't be listened on: {error.strerror}. {HEALTH_PORT.help}"
            ) from None
        self.server_port = self.socket.getsockname()[1]
        self.check = check
        self._free = threading.BoundedSemaphore(CONNECTIONS)
        # A worker's children inherit the socket, and would keep the port of a worker that was killed.
        os.register_at_fork(after_in_child=self.socket.close)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore connections that break: the prober has gone, or was too slow."""


class _Handler(BaseHTTPRequestHandler):
    server: HealthServer
    timeout = SECONDS

    def setup(self) -> None:
        super().setup()
        # The timeout is of one read; a client that sends a byte a second needs an end, too.
        self._end = threading.Timer(SECONDS, self._give_up)
        self._end.daemon = True
        self._end.start()

    def finish(self) -> None:
        self._end.cancel()
        super().finish()

    def do_GET(self) -> None:
        if self.path != "/healthz":
            self._answer(404, "only /healthz is here")
            return
        try:
            self._answer(200, self.server.check())
        except UnhealthyError as error:
            self._answer(503, str(error))

    def version_string(self) -> str:
        return "warmboard"

    def log_message(self, *_: Any) -> None:
        """Log nothing: probes come every few seconds."""

    def _answer(self, status: int, text: str) -> None:
        body = f"{text}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def _give_up(self) -> None:
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return


def serve_health(process: str, environ: Mapping[str, str] = os.environ) -> HealthServer | None:
    """Answer on HEALTH_PORT for as long as this process runs; None if there is no such port.

    ``process`` is the name whose heartbeat counts: subscriber, worker or beat. Raises SettingError.
    """
    port = HEALTH_PORT.read(environ)
    if not port:
        return None
    server = HealthServer(port, heartbeat_check(process, environ))
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
