"""A proxy in front of MLflow that passes requests on, or answers in a hostile way."""

from __future__ import annotations

import asyncio
import gzip
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

PIECE = 64 * 1024
# Of many members: to compress as much at once takes seconds.
BOMB = gzip.compress(bytes(2**20)) * 1500
"""1.5 MB that are 1.5 GB."""
ENDLESS_PAUSE = 0.01
DRIP_SECONDS = 2.0
LONGEST_HEAD = 2**20

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Proxy:
    """Listens on a free port of 127.0.0.1, on a thread of its own. ``answer`` may change at any time: "pass", or one of
    ``plan.ANSWERS``. ``requests`` counts by answer.
    """

    def __init__(self, upstream: str) -> None:
        split = urlsplit(upstream)
        self._upstream = (split.hostname or "127.0.0.1", split.port or 80)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self.answer = "pass"
        self.requests: Counter[str] = Counter()

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        port = self._server.sockets[0].getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=LONGEST_HEAD)

    async def _close(self) -> None:
        self._server.close()
        serving = asyncio.all_tasks() - {asyncio.current_task()}
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request; the connection is closed behind its answer."""
        with suppress(OSError, EOFError, asyncio.LimitOverrunError, ValueError, asyncio.CancelledError):
            if self.answer != "refuse":
                request = await _read_request(reader)
                # As it is now: a request that came in a good time may be answered in a bad one.
                answer = self.answer
                self.requests[answer] += 1
                await (self._pass(request, writer) if answer == "pass" else self._mistreat(answer, request, writer))
        writer.close()

    async def _pass(self, request: bytes, writer: asyncio.StreamWriter, *, share: float = 1.0) -> None:
        """Send the request on, and back what comes; of the body only a ``share``."""
        from_mlflow, to_mlflow = await asyncio.open_connection(*self._upstream)
        try:
            to_mlflow.write(request)
            await to_mlflow.drain()
            whole = await from_mlflow.read(-1) if share < 1 else b""
            writer.write(whole[: int(len(whole) * share)])
            while piece := await from_mlflow.read(PIECE):
                writer.write(piece)
                await writer.drain()
            await writer.drain()
        finally:
            to_mlflow.close()

    async def _mistreat(self, answer: str, request: bytes, writer: asyncio.StreamWriter) -> None:
        if answer == "truncated":
            await self._pass(request, writer, share=0.6)
        else:
            await HOSTILE[answer](writer)


async def _read_request(reader: asyncio.StreamReader) -> bytes:
    """The request, changed so that MLflow closes the connection behind its answer."""
    lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[:-2]
    names = [line.partition(b":")[0].strip().lower() for line in lines]
    length = next(
        (int(line.partition(b":")[2]) for line, name in zip(lines, names, strict=True) if name == b"content-length"), 0
    )
    kept = [line for line, name in zip(lines, names, strict=True) if name != b"connection"]
    return b"\r\n".join([*kept, b"Connection: close", b"", b""]) + await reader.readexactly(length)


async def _send(writer: asyncio.StreamWriter, status: str, headers: str, body: bytes = b"") -> None:
    writer.write(f"HTTP/1.1 {status}\r\n{headers}Connection: close\r\n\r\n".encode() + body)
    await writer.drain()


async def _error(writer: asyncio.StreamWriter) -> None:
    await _send(writer, "500 Internal Server Error", "Content-Length: 4\r\n", b"oops")


async def _garbage(writer: asyncio.StreamWriter) -> None:
    body = bytes(range(256)) * 40
    await _send(writer, "200 OK", f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n", body)


async def _slow(writer: asyncio.StreamWriter) -> None:
    await _send(writer, "200 OK", "Content-Type: application/json\r\nContent-Length: 100000\r\n", b"{")
    while not writer.is_closing():
        await asyncio.sleep(DRIP_SECONDS)
        writer.write(b" ")
        await writer.drain()


async def _endless(writer: asyncio.StreamWriter) -> None:
    await _send(writer, "200 OK", "Content-Type: application/json\r\n", b'{"run": "')
    while not writer.is_closing():
        writer.write(b"x" * PIECE)
        await writer.drain()
        await asyncio.sleep(ENDLESS_PAUSE)


async def _redirect(writer: asyncio.StreamWriter) -> None:
    await _send(writer, "302 Found", "Location: http://127.0.0.1:1/login\r\nContent-Length: 0\r\n")


async def _bomb(writer: asyncio.StreamWriter) -> None:
    headers = f"Content-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: {len(BOMB)}\r\n"
    await _send(writer, "200 OK", headers, BOMB)


async def _hang(writer: asyncio.StreamWriter) -> None:
    while not writer.is_closing():
        await asyncio.sleep(DRIP_SECONDS)


HOSTILE: dict[str, Callable[[asyncio.StreamWriter], Awaitable[None]]] = {
    "500": _error,
    "garbage": _garbage,
    "slow": _slow,
    "endless": _endless,
    "redirect": _redirect,
    "bomb": _bomb,
    "hang": _hang,
}
