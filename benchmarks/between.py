"""A proxy between a training and its tracking server that is slow, or stops answering."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

SECONDS = 60
PASSED_ON = ("Content-Type",)


class Between(ThreadingHTTPServer):
    """Forwards every request to ``upstream``, ``delay`` seconds late. With ``falls_silent``, once a run was created, it
    still accepts connections and requests but answers none.
    """

    def __init__(self, upstream: str, delay: float, falls_silent: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urlsplit(upstream).netloc
        self.delay = delay
        self.falls_silent = falls_silent
        self.silent = False
        self.over = threading.Event()
        self.address = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # One packet per response: a second one would wait until the first is acknowledged.
    wbufsize = -1
    server: Between

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.silent:
            self.server.over.wait()
            self.close_connection = True
            return
        time.sleep(self.server.delay)
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=SECONDS)
        given = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
        upstream.request(self.command, self.path, body, given)
        with upstream.getresponse() as answer:
            self._answer(answer.status, answer.read())
        upstream.close()
        if self.server.falls_silent and self.path.endswith("/runs/create"):
            self.server.silent = True

    do_POST = do_GET

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def between(upstream: str, delay: float = 0.0, *, falls_silent: bool = False) -> Iterator[str]:
    """The address of such a proxy, which stops with the context."""
    with Between(upstream, delay, falls_silent) as proxy:
        proxy.daemon_threads = True
        thread = threading.Thread(target=proxy.serve_forever, args=[0.05], daemon=True)
        thread.start()
        try:
            yield proxy.address
        finally:
            proxy.over.set()
            proxy.shutdown()
            thread.join()
