"""The application that granian serves: reads a request, has Django answer it in a thread, sends the answer.

Only the event loop waits for clients. A body is read before a thread is taken, and an answer is whole before it is
sent: short ones from memory, long ones from a file, which granian reads as the client takes it. So slow clients cost a
connection each, and no thread.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from http import HTTPStatus
from tempfile import TemporaryFile
from typing import IO, Any

from store.logs import about
from webapp.serving.bodies import Bodies, BodyRefused
from webapp.serving.environ import Headers, Scope, environ_of, trace_of, with_body
from webapp.serving.lanes import Job, Lane
from webapp.serving.metrics import request_metrics
from webapp.wsgi import ROUTE, application

log = logging.getLogger(__name__)
IN_MEMORY = 2 * 1024 * 1024
"""Bytes of a streamed answer that are kept in memory; a longer one becomes a file."""
MOST_FILES = 16
"""Answers of a process that clients are reading from files at once, which bounds the disk space that they take."""
THREADS = 4
"""Threads for pages and JSON. Each keeps a database connection."""
SWITCH_SECONDS = 0.001
BUSY = "The server is busy. Retry in a moment."
Environ = dict[str, Any]


class Reply:
    """A whole answer of Django's: its head, and its body as bytes or as an open file."""

    def __init__(self) -> None:
        self.status, self.headers = 500, list[tuple[str, str]]()
        self.body: bytes | IO[bytes] = b""

    def start(self, status: str, headers: Headers, *_: object) -> Callable[[bytes], object]:
        """WSGI's start_response."""
        self.status, self.headers = int(status[:3]), headers
        return lambda _: None

    def take(self, pieces: Any) -> None:
        """The body, from what the WSGI application returned. Raises what a stream raises."""
        if not getattr(pieces, "streaming", False):
            self.body = b"".join(pieces)
            return
        held = b""
        for piece in pieces:
            held += piece
            if len(held) > IN_MEMORY:
                self.body = TemporaryFile()  # noqa: SIM115 - closed when it is sent
                self.body.write(held)
                self.body.writelines(pieces)
                self.body.flush()
                return
        self.body = held


class Gateway:
    """One process's. ``__rsgi__`` and ``__rsgi_init__`` are granian's names."""

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # A thread that computes gives way to others this often. With Python's default of 5 ms, a page that waits for
        # its database ten times while another thread writes an export would wait 50 ms more.
        sys.setswitchinterval(SWITCH_SECONDS)
        self._loop = loop
        self._bodies = Bodies()
        self._files = 0
        # Signing in takes a tenth of a second of a core for the password's hash, or waits for Google.
        self._sign_in = Lane("sign-in", threads=2, waiting=32)
        self._changes = Lane("changes", threads=2, waiting=64)
        # A file of a long run takes seconds of a core.
        self._exports = Lane("exports", threads=1, waiting=16)
        self._pages = Lane("pages", threads=THREADS, waiting=512)
        self._live = Lane("live", threads=1, waiting=64)
        self._ready = Lane("ready", threads=1, waiting=64)

    async def __rsgi__(self, scope: Scope, proto: Any) -> None:
        headers: Headers = scope.headers.items()
        environ = environ_of(scope, headers)
        lane = self._lane(environ["PATH_INFO"], scope.method)
        body = b""
        if lane.is_full:
            _refuse(proto, 503, BUSY)
            return
        if scope.method == "POST":
            try:
                body = await self._bodies.read(proto, headers)
            except BodyRefused as error:
                _refuse(proto, error.status, str(error))
                return
        with_body(environ, body)
        await self._answer(lane, environ, proto)

    async def _answer(self, lane: Lane, environ: Environ, proto: Any) -> None:
        done: asyncio.Future[Reply | None] = self._loop.create_future()

        def end(reply: Reply | None) -> None:
            lane.finished()
            _count(lane)
            if not done.done():
                done.set_result(reply)

        def finish(reply: Reply | None) -> None:
            with suppress(RuntimeError):  # The loop has ended: the process is stopping.
                self._loop.call_soon_threadsafe(end, reply)

        def refuse() -> None:
            _refuse(proto, 503, BUSY)
            finish(None)

        job = lane.submit(lambda: finish(_run(environ, proto)), refuse)
        _count(lane)
        # Where threads are free, the answer comes sooner than any client gives up.
        watching = self._loop.create_task(_watch(proto, job)) if lane.has_waiting else None
        reply = await done
        if watching:
            watching.cancel()
        if reply:
            await self._send_file(proto, reply)

    async def _send_file(self, proto: Any, reply: Reply) -> None:
        """Keep the file until the connection ends: granian opens it when it begins to send."""
        file: Any = reply.body
        with file:
            if self._files >= MOST_FILES:
                _refuse(proto, 503, BUSY)
                return
            self._files += 1
            try:
                headers = [*reply.headers, ("Connection", "close")]
                proto.response_file(reply.status, headers, f"/proc/self/fd/{file.fileno()}")
                await proto.client_disconnect()
            finally:
                self._files -= 1

    def _lane(self, path: str, method: str) -> Lane:
        if path == "/healthz":
            return self._live
        if path == "/readyz":
            return self._ready
        if path.startswith("/sign-in/"):
            return self._sign_in if method == "POST" or path != "/sign-in/" else self._pages
        if method == "POST":
            return self._changes
        return self._exports if "/export." in path else self._pages


async def _watch(proto: Any, job: Job) -> None:
    """Note that the client is gone, so that no thread works for it."""
    await proto.client_disconnect()
    job.gone = True


def _count(lane: Lane) -> None:
    if metrics := request_metrics():
        metrics.lane(lane.name, lane.unfinished)


def _run(environ: Environ, proto: Any) -> Reply | None:
    """Have Django answer, and send the answer; in a thread of a lane. Returns an unsent answer whose body is a file."""
    begin, trace = time.perf_counter(), trace_of(environ)
    with about(trace=trace) if trace else nullcontext():
        reply = _reply(environ, proto)
    if metrics := request_metrics():
        seconds = time.perf_counter() - begin
        metrics.answered(environ.get(ROUTE, ""), environ["REQUEST_METHOD"], reply.status, seconds)
    return None if isinstance(reply.body, bytes) else reply


def _reply(environ: Environ, proto: Any) -> Reply:
    reply = Reply()
    try:
        pieces: Any = application(environ, reply.start)
        try:
            reply.take(pieces)
            if isinstance(reply.body, bytes):
                proto.response_bytes(reply.status, reply.headers, reply.body)
        finally:
            pieces.close()
    except Exception:
        log.exception("request failed: %s", environ["PATH_INFO"])
        _refuse(proto, 500, "Internal error.")
        return Reply()
    return reply


def _refuse(proto: Any, status: int, message: str) -> None:
    """Answer without Django, and close the connection: what the client still sends is not read."""
    if metrics := request_metrics():
        metrics.refused(status)
    text = f'{{"error": "{message}"}}'.encode()
    headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store"), ("Connection", "close")]
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append(("Retry-After", "1"))
    proto.response_bytes(status, headers, text)


gateway = Gateway()
