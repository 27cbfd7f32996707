"""A real HTTP server in a thread, whose responses a test defines."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, bytes, dict[str, str]]
"""Status, body, headers."""
Drip = tuple[float, threading.Event]
"""The pause before each byte of a body, in seconds; and the event that ends all bodies."""
Answering = Callable[[str, Any, bytes], Answer]
"""Takes the path with its query, the headers and the body."""


class Handler(BaseHTTPRequestHandler):
    """Responds with the result of the server's ``answer``.

    Sends headers and body in two packets, the second after the first is acknowledged, like uvicorn with several workers
    and without uvloop.
    """

    protocol_version = "HTTP/1.1"
    wbufsize = 0
    server: SmallServer

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_GET(self) -> None:
        self.server.authorizations.append(self.headers.get("Authorization"))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, text, headers = self.server.answer(self.path, self.headers, body)
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(text))}.items():
            self.send_header(name, value)
        self.end_headers()
        for piece in self._pieces(text):
            self.wfile.write(piece)

    do_POST = do_GET

    def _pieces(self, text: bytes) -> Iterator[bytes]:
        """The body; of a server that drips, a byte after each pause, until it is over."""
        if not self.server.drip:
            yield text
            return
        pause, over = self.server.drip
        for byte in text:
            if over.wait(pause):
                return
            yield bytes([byte])

    def log_message(self, *_: Any) -> None:
        """Keep the log out of the tests' output."""


class SmallServer(ThreadingHTTPServer):
    def __init__(self, answer: Answering, tls: ssl.SSLContext | None, drip: Drip | None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.drip = drip
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.answer = answer
        self.connections = 0
        self.authorizations: list[str | None] = []
        self.address = f"{'https' if tls else 'http'}://127.0.0.1:{self.server_port}"


@contextmanager
def serving(answer: Answering, tls: ssl.SSLContext | None = None, drip: Drip | None = None) -> Iterator[SmallServer]:
    with SmallServer(answer, tls, drip) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
