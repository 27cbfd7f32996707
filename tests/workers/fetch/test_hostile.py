"""Answers of hostile and broken servers: a fetch ends in time, takes bounded memory, and says what was wrong."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any

import orjson
import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from tests.waiting import PATIENCE
from tests.workers.fetch.fake_mlflow import EXPERIMENT, RUN_ID, FakeMlflow
from workers.errors import NotMlflowError, PermanentError, TransientError, WarmError
from workers.fetch import stock
from workers.fetch.budget import Budget, Limits
from workers.fetch.fetcher import Fetcher, TrackingServer
from workers.history import bounded
from workers.history.bounded import TooLargeError

MEBI = 2**20
FAR = TrackingServer("far", "http://mlflow.test")
BLANK = b" " * MEBI
GZIP, ZSTD = {"Content-Encoding": "gzip"}, {"Content-Encoding": "zstd"}
BOMBS: dict[str, tuple[bytes, dict[str, str]]] = {
    "gzip": (gzip.compress(BLANK * 100, 1), GZIP),
    "gzip, many members": (gzip.compress(BLANK) * 100, GZIP),
    "zstd": (zstandard.compress(BLANK * 100), ZSTD),
    "identity": (BLANK * 100, {}),
}
"""Bodies of 100 MiB, once they are decompressed, with their headers."""


class Answers(FakeMlflow):
    """Answers requests whose path ends with ``path`` with a body of its own."""

    def __init__(self, path: str, body: bytes, headers: dict[str, str] | None = None, **options: Any) -> None:
        super().__init__({"loss": [(0, 1.0, 1)]}, **options)
        self.path, self.body, self.headers = path, body, headers or {}

    def _answer(self, path: str, *request: Any) -> tuple[int, bytes, dict[str, str]]:
        if path.endswith(self.path):
            return 200, self.body, dict(self.headers)
        return super()._answer(path, *request)


def fetch(wire: FakeMlflow, **limits: Any) -> object:
    return Fetcher(FAR, limits=Limits(**limits), transport=wire).fetch(RUN_ID)


@contextmanager
def at_most(megabytes: int) -> Iterator[None]:
    """Fail if the block allocates more than that at a time, beside what was there."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < megabytes * MEBI
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("path", ["/runs/get", "/experiments/get", "/history"])
def test_a_bomb_is_never_whole_in_memory(bomb: str, path: str) -> None:
    wire = Answers(path, *BOMBS[bomb], bulk=path == "/history")
    with at_most(80), pytest.raises(NotMlflowError, match="is longer than 33,554,432 bytes"):
        fetch(wire)


def test_a_bomb_on_one_of_two_ways_leaves_the_other() -> None:
    with at_most(80):
        assert fetch(Answers("/get-history-bulk", *BOMBS["zstd"]))


def test_a_run_over_the_limit_is_given_up_and_the_setting_is_named() -> None:
    lines = [
        {"version": 1, "run": {}, "params": {}, "tags": {}, "latest": {}},
        *({"axis": number, "steps": [0] * 1000, "timestamps": [0] * 1000} for number in range(1000)),
    ]
    body = b"\n".join(map(orjson.dumps, lines))
    wire = Answers("/history", gzip.compress(body, 1), GZIP, bulk=True)
    with pytest.raises(PermanentError, match=r"more than 1,048,576 bytes, after decompression\. Raise FETCH_MAX_BYTES"):
        fetch(wire, max_bytes=MEBI)
    # Its arrays are longer than its text.
    with pytest.raises(PermanentError, match="Raise FETCH_MAX_BYTES"):
        fetch(wire, max_bytes=len(body) * 2)


def test_the_pages_of_a_metric_that_never_end_are_given_up() -> None:
    class Endless(FakeMlflow):
        def _metrics_get_history(self, query: Any) -> dict[str, Any]:
            return {**super()._metrics_get_history(query), "next_page_token": "0"}

    wire = Endless({"loss": [(step, 1.0, 1) for step in range(1000)]}, short_history=False)
    with pytest.raises(PermanentError, match="Raise FETCH_MAX_BYTES"):
        fetch(wire, max_bytes=MEBI)


@pytest.mark.parametrize("again", [True, False])
def test_the_pages_of_an_experiment_that_never_end_are_given_up(again: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(FakeMlflow):
        def _runs_search(self, query: Any) -> dict[str, Any]:
            return {**super()._runs_search({}), "next_page_token": "2" if again else str(len(self.requests))}

    monkeypatch.setattr(stock, "MOST_PAGES", 20, raising=False)
    found = Fetcher(FAR, transport=Endless({})).search_runs(EXPERIMENT)
    with pytest.raises(PermanentError, match="the pages of experiment 'two-tower' never end"):
        list(islice(found, 1000))


def test_an_experiments_page_in_a_wrong_shape_is_not_mlflows() -> None:
    class Odd(FakeMlflow):
        def _runs_search(self, _: Any) -> dict[str, Any]:
            return {"runs": [{"info": None}]}

    with pytest.raises(NotMlflowError, match="shape"):
        list(Fetcher(FAR, transport=Odd({})).search_runs(EXPERIMENT))


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "x" * 1000])
def test_a_coding_that_was_not_asked_for_is_refused(encoding: str) -> None:
    wire = Answers("/runs/get", zlib.compress(b"{}"), {"Content-Encoding": encoding})
    with pytest.raises(NotMlflowError, match="accepted are zstd, gzip"):
        fetch(wire)


def test_a_zstd_frame_may_not_ask_for_much_memory() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    body = compressor.compress(b"{}") + compressor.flush()
    with pytest.raises(TransientError):
        fetch(Answers("/runs/get", body, {"Content-Encoding": "zstd"}))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["run", "info", "data", "key"]), inner),
    max_leaves=8,
)
ROUTES = ("/runs/get", "/experiments/get", "/get-history-bulk", "/get-history", "/history", "/version")


@given(
    path=st.sampled_from(ROUTES), body=st.binary(max_size=200) | VALUES.map(lambda value: json.dumps(value).encode())
)
@example(path="/runs/get", body=b'{"run":{"info":{"experiment_id":[]},"data":7}}')
@example(path="/experiments/get", body=b'{"experiment":7}')
@example(path="/get-history", body=b'{"metrics":[7]}')
@example(path="/runs/get", body=b"[" * 100_000)
def test_garbage_is_an_error_of_ours_or_harmless(path: str, body: bytes) -> None:
    bulk = path in ("/history", "/version")
    with suppress(WarmError):
        fetch(Answers(path, body, bulk=bulk, short_history=path != "/get-history"))


@given(cut=st.integers(0, 400), encoding=st.sampled_from(["gzip", "zstd", ""]))
def test_a_truncated_body_is_transient(cut: int, encoding: str) -> None:
    whole = json.dumps(FakeMlflow({})._runs_get({})).encode()
    packed = {"gzip": gzip.compress(whole), "zstd": zstandard.compress(whole), "": whole}[encoding]
    if cut < len(packed):
        with pytest.raises(TransientError):
            fetch(Answers("/runs/get", packed[:cut], {"Content-Encoding": encoding} if encoding else {}))


@pytest.mark.parametrize(
    "text",
    [b"[" + b"{}," * 3 * MEBI, b"[" + b"[]," * 3 * MEBI, b"[" + b"1," * 3 * MEBI, b'{"a":"' + b" " * 40 * MEBI],
)
def test_json_whose_objects_take_much_memory_is_not_parsed(text: bytes) -> None:
    with pytest.raises(TooLargeError):
        bounded.loads(text)


@given(text=st.text(alphabet='{}[],"\\ a', max_size=300))
def test_what_a_string_holds_counts_as_text(text: str) -> None:
    written = orjson.dumps([text, {"b": text}])
    assert bounded.STRINGS.sub(b"", written) == b"[,{:}]"


def test_a_string_that_is_not_closed_takes_no_time() -> None:
    assert bounded.STRINGS.sub(b"", b'"' + rb"\"" * MEBI) == b""


Talk = Callable[[socket.socket], None]


@contextmanager
def talking(talk: Talk) -> Iterator[str]:
    """A server that talks as it likes after each request; the address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        stopped = threading.Event()

        def serve() -> None:
            while not stopped.is_set():
                with suppress(OSError):
                    connection, _ = listening.accept()
                    threading.Thread(target=answer, args=[connection], daemon=True).start()

        def answer(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                connection.settimeout(PATIENCE)
                connection.recv(65_536)
                talk(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            stopped.set()
            with suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def _drip(head: bytes, piece: bytes) -> Talk:
    """Send the head, then the piece again and again, byte by byte, without an end."""

    def talk(connection: socket.socket) -> None:
        connection.sendall(head)
        pause = threading.Event()
        while True:
            for byte in piece:
                connection.sendall(bytes([byte]))
                pause.wait(0.005)

    return talk


def _pour(head: bytes, piece: bytes) -> Talk:
    """The same as fast as it goes."""

    def talk(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(piece * 1000)

    return talk


OK = b"HTTP/1.1 200 OK\r\n"
ENDLESS = {
    "the status": _drip(b"", b"H"),
    "a header": _drip(OK, b"X"),
    "headers": _drip(OK, b"A: b\r\n"),
    "interim answers": _pour(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a body of some length": _drip(OK + b"Content-Length: 1000000\r\n\r\n", b" "),
    "a body without a length": _drip(OK + b"\r\n", b" "),
    "chunks": _drip(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "the size of a chunk": _drip(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
    "trailers": _pour(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"A: b\r\n"),
    "empty gzip members": _pour(OK + b"Content-Encoding: gzip\r\n\r\n", gzip.compress(b"")),
    "empty zstd frames": _pour(OK + b"Content-Encoding: zstd\r\n\r\n", zstandard.compress(b"")),
    "nothing": lambda connection: connection.recv(1) and None,
}


@pytest.mark.parametrize("talk", ENDLESS.values(), ids=ENDLESS)
def test_an_answer_without_an_end_is_given_up(talk: Talk) -> None:
    with talking(talk) as address, pytest.raises(TransientError):
        Fetcher(TrackingServer("slow", address), limits=Limits(seconds=0.3)).fetch(RUN_ID)


def test_the_deadline_names_the_setting() -> None:
    with (
        talking(ENDLESS["a body of some length"]) as address,
        pytest.raises(TransientError, match=r"not answered in full within 0\.2 s\. Raise FETCH_SECONDS"),
    ):
        Fetcher(TrackingServer("slow", address), limits=Limits(seconds=0.2)).fetch(RUN_ID)


def test_all_requests_of_a_fetch_share_a_budget() -> None:
    wire = FakeMlflow({f"m{number}": [(0, 1.0, 1)] for number in range(1000)})
    with pytest.raises(PermanentError, match="Raise FETCH_MAX_BYTES"):
        fetch(wire, max_bytes=MEBI // 8)
    assert len(wire.requests) < 1000, "the rest is not asked for"
    reader = Fetcher(FAR, limits=Limits(max_bytes=MEBI), transport=wire)
    for _ in range(4):
        reader.fetch(RUN_ID)


def test_a_spent_budget_sends_nothing() -> None:
    budget = Budget(Limits(seconds=0), "http://mlflow.test")
    assert budget.is_over
    with pytest.raises(TransientError, match="within 0 s"):
        budget.seconds()
