"""Between granian and Django, without a server: what a request becomes, how its body is read, who gets a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest

from webapp.serving import bodies, gateway, lanes
from webapp.serving.bodies import Bodies, BodyRefused
from webapp.serving.environ import environ_of, trace_of, with_body
from webapp.serving.gateway import Gateway, Reply
from webapp.serving.lanes import Lane

Headers = list[tuple[str, str]]
T = TypeVar("T")
SESSION = ("cookie", "sessionid=abc")


@dataclass
class Scope:
    """As granian's."""

    headers: Any = ()
    method: str = "GET"
    path: str = "/"
    query_string: str = ""
    http_version: str = "1.1"
    scheme: str = "http"
    client: str = "10.1.2.3:5000"
    server: str = "127.0.0.1:8000"
    authority: str | None = None


@dataclass
class Proto:
    """The wire: sends pieces of a body, takes the answer."""

    pieces: list[bytes] = field(default_factory=list)
    hangs: bool = False
    answer: tuple[int, dict[str, str], bytes] | None = None
    read: int = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            self.read += len(piece)
            yield piece
        if self.hangs:
            await asyncio.Event().wait()

    def response_bytes(self, status: int, headers: Headers, body: bytes) -> None:
        self.answer = (status, dict(headers), body)

    def response_file(self, status: int, headers: Headers, path: str) -> None:
        with open(path, "rb") as file:
            self.answer = (status, dict(headers), file.read())

    async def client_disconnect(self) -> None:
        pass


def run(work: Coroutine[Any, Any, T]) -> T:
    """In a thread: browser tests may have left an event loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def read(proto: Proto, *headers: tuple[str, str]) -> bytes:
    return run(Bodies().read(proto, list(headers)))  # type: ignore[arg-type]


def test_a_header_with_an_underscore_is_not_the_one_with_a_dash() -> None:
    sent = [
        ("x_forwarded_for", "6.6.6.6"),
        ("x-forwarded-for", "1.1.1.1"),
        ("x_forwarded_for", "7.7.7.7"),
        ("a_b", "c"),
    ]
    environ = environ_of(Scope(), sent)
    assert environ["HTTP_X_FORWARDED_FOR"] == "1.1.1.1"
    assert "HTTP_A_B" not in environ
    alone = environ_of(Scope(), [("x_forwarded_proto", "https"), ("proxy", "http://evil.example")])
    assert not [key for key in alone if key.startswith("HTTP_")]


def test_what_django_gets_of_a_request() -> None:
    sent = [("host", "example.org"), ("cookie", "a=1"), ("cookie", "b=2"), ("accept", "x"), ("accept", "y")]
    environ = environ_of(Scope(path="/é/\ufffd", query_string="q=1", client="[::1]:99"), [*sent, ("content-type", "t")])
    assert environ["PATH_INFO"].encode("latin-1").decode() == "/é/\ufffd"
    assert environ["QUERY_STRING"] == "q=1"
    assert environ["REMOTE_ADDR"] == "::1"
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("127.0.0.1", "8000")
    assert environ["HTTP_HOST"] == "example.org"
    assert environ["HTTP_COOKIE"] == "a=1; b=2"
    assert environ["HTTP_ACCEPT"] == "x,y"
    assert environ["CONTENT_TYPE"] == "t"
    assert environ_of(Scope(authority="other.example"), [])["HTTP_HOST"] == "other.example"
    with_body(environ, b"abc")
    assert (environ["wsgi.input"].read(), environ["CONTENT_LENGTH"]) == (b"abc", "3")


def test_a_body_is_read_whole() -> None:
    assert read(Proto([b"a" * 9000, b"b"])) == b"a" * 9000 + b"b"
    assert read(Proto([b"a" * 20_000] * 4), SESSION) == b"a" * 80_000


@pytest.mark.parametrize(
    ("proto", "headers", "status", "most_read"),
    [
        (Proto([b"a" * 9000] * 100), [], 413, 18_000),
        (Proto([b"a" * 9000] * 100), [("content-length", "900000")], 413, 0),
        (Proto([b"a" * 500_000] * 9), [SESSION], 413, 1_500_000),
        (Proto([b"a"], hangs=True), [("content-length", "9")], 408, 1),
        (Proto([b"a"], hangs=True), [SESSION, ("content-length", "9")], 408, 1),
    ],
)
def test_a_body_that_is_too_long_or_too_slow_is_refused(
    proto: Proto, headers: Headers, status: int, most_read: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "SECONDS", 0.05)
    with pytest.raises(BodyRefused) as refused:
        read(proto, *headers)
    assert refused.value.status == status
    assert proto.read <= most_read


def test_only_so_many_bodies_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MOST_AT_ONCE", 2)

    async def three() -> list[Any]:
        reading = Bodies()
        slow = [asyncio.ensure_future(reading.read(Proto(hangs=True), [])) for _ in range(2)]  # type: ignore[arg-type]
        await asyncio.sleep(0)
        try:
            with pytest.raises(BodyRefused, match="Too many") as refused:
                await reading.read(Proto(), [])  # type: ignore[arg-type]
        finally:
            for task in slow:
                task.cancel()
            await asyncio.gather(*slow, return_exceptions=True)
        return [refused.value.status, await reading.read(Proto([b"x"]), [])]  # type: ignore[arg-type]

    assert run(three()) == [503, b"x"]


def test_a_lane_bounds_what_waits_and_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    lane, done = Lane("test", threads=1, waiting=1), threading.Semaphore(0)
    begun, going = threading.Event(), threading.Event()
    seen: list[str] = []

    def note(word: str) -> Callable[[], None]:
        def noted() -> None:
            seen.append(word)
            done.release()

        return noted

    def run() -> None:
        begun.set()
        going.wait()
        done.release()

    lane.submit(run, note("never"))
    begun.wait()
    full = [lane.is_full]
    lane.submit(note("ran"), note("refused"))
    full.append(lane.is_full)
    monkeypatch.setattr(lanes, "PATIENCE", -1)
    going.set()
    for _ in range(2):
        done.acquire()
    assert (full, seen) == ([False, True], ["refused"])


def test_a_request_whose_client_is_gone_does_not_run() -> None:
    lane, done = Lane("test", threads=1, waiting=2), threading.Semaphore(0)
    begun, going = threading.Event(), threading.Event()
    seen: list[str] = []

    def hold() -> None:
        begun.set()
        going.wait()

    def note(word: str) -> None:
        seen.append(word)
        done.release()

    lane.submit(hold, lambda: note("never"))
    begun.wait()
    alone = lane.has_waiting
    first = lane.submit(lambda: note("the first ran"), lambda: note("the first was dropped"))
    lane.submit(lambda: note("the second ran"), lambda: note("the second was dropped"))
    first.gone = True
    going.set()
    for _ in range(2):
        done.acquire()
    assert (alone, lane.has_waiting) == (False, True)
    assert seen == ["the first was dropped", "the second ran"]


def answer(
    monkeypatch: pytest.MonkeyPatch, application: Any, scope: Scope | None = None, proto: Proto | None = None
) -> Any:
    """What the gateway answers with this WSGI application behind it."""
    monkeypatch.setattr(gateway, "application", application)
    proto, served = proto or Proto(), Gateway()

    async def serve() -> None:
        served.__rsgi_init__(asyncio.get_running_loop())
        served_scope = scope or Scope()
        served_scope.headers = dict(served_scope.headers or {})
        await served.__rsgi__(served_scope, proto)

    run(serve())
    return proto.answer


class Pieces(list[bytes]):
    """A streamed answer of Django's."""

    streaming = True
    closed = False

    def __iter__(self) -> Any:
        while self:
            yield self.pop(0)

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_a_streamed_answer_is_whole_before_it_is_sent(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    pieces = Pieces([b"a" * size, b"b", b"c" * size])

    def application(_: Any, start: Any) -> Pieces:
        start("200 OK", [("X-Mine", "1")])
        return pieces

    status, headers, body = answer(monkeypatch, application)
    assert (status, headers["X-Mine"]) == (200, "1")
    assert body == b"a" * size + b"b" + b"c" * size
    assert pieces.closed


def test_a_stream_that_breaks_is_an_error_and_no_half_file(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Pieces):
        def __iter__(self) -> Any:
            yield b"half"
            raise ValueError("broken")

    def application(_: Any, start: Any) -> Pieces:
        start("200 OK", [])
        return Broken()

    assert answer(monkeypatch, application)[0] == 500


def test_kinds_of_requests_do_not_share_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def application(_: Any, start: Any) -> Pieces:
        start("200 OK", [])
        return Pieces([threading.current_thread().name.encode()])

    kinds = {
        ("GET", "/"): "pages", ("GET", "/api/runs/a/training-history/"): "pages", ("GET", "/sign-in/"): "pages",
        ("POST", "/sign-in/"): "sign-in", ("GET", "/sign-in/google/callback/"): "sign-in",
        ("POST", "/annotate/pin/"): "changes", ("GET", "/runs/export.csv"): "exports",
        ("GET", "/api/runs/a/export.json"): "exports", ("GET", "/healthz"): "live", ("GET", "/readyz"): "ready",
    }  # fmt: skip
    for (method, path), lane in kinds.items():
        body = answer(monkeypatch, application, Scope(method=method, path=path))[2]
        assert body.decode().rpartition("-")[0] == lane, path


def test_django_gets_no_request_whose_client_has_left_while_it_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, going, asked = threading.Semaphore(0), threading.Event(), list[str]()

    def application(environ: dict[str, Any], start: Any) -> Pieces:
        asked.append(environ["PATH_INFO"])
        begun.release()
        going.wait()
        start("200 OK", [])
        return Pieces()

    class Patient(Proto):
        async def client_disconnect(self) -> None:
            await asyncio.Event().wait()

    monkeypatch.setattr(gateway, "application", application)
    served = Gateway()

    async def serve() -> None:
        served.__rsgi_init__(asyncio.get_running_loop())

        def ask(path: str, proto: Proto) -> asyncio.Task[None]:
            return asyncio.create_task(served.__rsgi__(Scope(path=path, headers={}), proto))

        running = [ask("/first", Proto()) for _ in range(gateway.THREADS)]
        for _ in running:
            await asyncio.to_thread(begun.acquire)
        waiting = [ask("/left", Proto()), ask("/stayed", Patient())]
        for _ in range(5):
            await asyncio.sleep(0)
        going.set()
        await asyncio.gather(*running, *waiting)

    run(serve())
    assert asked == ["/first"] * gateway.THREADS + ["/stayed"]


def test_a_full_lane_refuses_before_a_body_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lane, "is_full", True)
    proto = Proto([b"a"])
    status, headers, _ = answer(monkeypatch, None, Scope(method="POST", path="/sign-in/"), proto)
    assert (status, headers["Retry-After"], headers["Connection"]) == (503, "1", "close")
    assert proto.read == 0


def test_a_reply_of_a_plain_answer_needs_no_file() -> None:
    reply = Reply()
    reply.take([b"a" * 3_000_000, b"b"])
    assert reply.body == b"a" * 3_000_000 + b"b"


@pytest.mark.parametrize(
    ("headers", "trace"),
    [
        ([("traceparent", f"00-{'0a' * 16}-b7ad6b7169203331-01")], "0a" * 16),
        ([("x-cloud-trace-context", f"{'0A' * 16}/1;o=1")], "0a" * 16),
        ([("traceparent", "00-<script>")], ""),
        ([], ""),
    ],
)
def test_the_trace_of_a_request(headers: Headers, trace: str) -> None:
    assert trace_of(environ_of(Scope(), headers)) == trace
