"""A proxy before MLflow that delays the reading of runs and prints when each began and ended. Runs in a container.

``python recorder.py UPSTREAM_HOST:PORT SECONDS``: a run's history is held back for a random time of up to SECONDS. One
line of JSON for each: ``{"run": …, "began": …, "ended": …, "broken": …, "peer": …}``, times by ``time.monotonic``;
``broken`` if the reader hung up before its answer began. Needs the standard library only.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
import time
from contextlib import suppress

PORT = 5000
HISTORY = re.compile(rb"^GET /api/2\.0/warmboard/runs/(\w+)/history\b")
PIECE = 64 * 1024
LONGEST_HEAD = 2**16

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Recorder:
    """Sends each request on by a connection of its own; the answer ends with it."""

    def __init__(self, upstream: str, seconds: float) -> None:
        self._upstream, self._seconds = upstream, seconds

    async def serve(self) -> None:
        server = await asyncio.start_server(self.handle, "0.0.0.0", PORT, limit=LONGEST_HEAD)  # noqa: S104  a container
        async with server:
            await server.serve_forever()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError, asyncio.LimitOverrunError, ValueError):
            request = await self._request(reader)
            found = HISTORY.match(request)
            if found:
                await self._recorded(found[1].decode(), request, reader, writer)
            else:
                await self._pass(request, writer)
        writer.close()

    async def _request(self, reader: asyncio.StreamReader) -> bytes:
        """The request, for MLflow's own name, after whose answer it closes the connection."""
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[:-2]
        fields = [(line.partition(b":")[0].strip().lower(), line) for line in lines]
        length = next((int(line.partition(b":")[2]) for name, line in fields if name == b"content-length"), 0)
        kept = [line for name, line in fields if name not in (b"connection", b"host")]
        added = [b"Host: " + self._upstream.encode(), b"Connection: close", b"", b""]
        return b"\r\n".join([first, *kept, *added]) + await reader.readexactly(length)

    async def _recorded(
        self, run_id: str, request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        began = time.monotonic()
        print(json.dumps({"run": run_id, "begins": began}), flush=True)
        answers = asyncio.Event()
        answer = asyncio.ensure_future(self._late(request, writer, answers))
        # A reader sends nothing more. What comes is the end of its connection; one that has its answer may be first.
        gone = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
            broken = not answers.is_set()
        finally:
            answer.cancel()
            gone.cancel()
            await asyncio.gather(answer, gone, return_exceptions=True)
        peer = writer.get_extra_info("peername")[0]
        line = {"run": run_id, "began": began, "ended": time.monotonic(), "broken": broken, "peer": peer}
        print(json.dumps(line), flush=True)

    async def _late(self, request: bytes, writer: asyncio.StreamWriter, answers: asyncio.Event) -> None:
        await asyncio.sleep(random.uniform(0, self._seconds))
        await self._pass(request, writer, answers)

    async def _pass(self, request: bytes, writer: asyncio.StreamWriter, answers: asyncio.Event | None = None) -> None:
        host, _, port = self._upstream.partition(":")
        from_mlflow, to_mlflow = await asyncio.open_connection(host, int(port))
        try:
            to_mlflow.write(request)
            while piece := await from_mlflow.read(PIECE):
                if answers:
                    answers.set()
                writer.write(piece)
                await writer.drain()
        finally:
            to_mlflow.close()


if __name__ == "__main__":
    asyncio.run(Recorder(sys.argv[1], float(sys.argv[2])).serve())
