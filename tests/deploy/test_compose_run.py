"""What `make compose-test` measures with, without a container engine."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.compose import __main__ as program
from tests.compose.load import Reading, in_progress, readings, twice_at_a_time
from tests.compose.reader import Reader
from tests.compose.recorder import Recorder
from tests.deploy.files import services
from tests.paths import ROOT
from tests.waiting import PATIENCE

ASKED = b"GET /api/2.0/warmboard/runs/r1/history HTTP/1.1\r\nHost: recorder:5000\r\n\r\n"


def reading(run: str, began: float, ended: float) -> Reading:
    return Reading(run, began, ended, broken=False, peer="10.0.0.1")


@pytest.mark.parametrize(
    ("found", "pairs"),
    [
        ([], 0),
        ([reading("a", 0, 2), reading("b", 1, 3)], 0),
        ([reading("a", 0, 2), reading("a", 2, 3)], 0),
        ([reading("a", 2, 3), reading("a", 0, 2.5)], 1),
        ([reading("a", 0, 9), reading("a", 1, 2), reading("a", 3, 4)], 2),
    ],
)
def test_readings_of_one_run_at_a_time_are_found(found: list[Reading], pairs: int) -> None:
    assert len(list(twice_at_a_time(found))) == pairs


def test_the_recorder_tells_whole_readings_from_broken_ones(capsys: pytest.CaptureFixture[str]) -> None:
    # In a thread: Playwright's event loop runs in this one if tests in a browser came before.
    with ThreadPoolExecutor(1) as thread:
        for whole in (True, False):
            thread.submit(asyncio.run, _read_and_hang_up(whole=whole)).result()
    output = capsys.readouterr().out

    assert [(one.run, one.broken) for one in readings(output)] == [("r1", False), ("r1", True)]
    assert not in_progress(output)
    assert in_progress(output.splitlines()[0]) == {"r1"}
    assert all(one.ended >= one.began for one in readings(output))


async def _read_and_hang_up(*, whole: bool) -> None:
    """A reader that waits for its answer, or closes its connection before it comes."""
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
        await writer.drain()
        writer.close()

    mlflow = await asyncio.start_server(answer, "127.0.0.1", 0)
    address = f"127.0.0.1:{mlflow.sockets[0].getsockname()[1]}"
    recorder = Recorder(address, 0 if whole else 1000)
    handled = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await recorder.handle(reader, writer)
        handled.set()

    async with mlflow, await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(ASKED)
        await writer.drain()
        if whole:
            assert (await reader.read()).endswith(b"hi")
            assert f"Host: {address}".encode() in asked[0]
        writer.close()
        await asyncio.wait_for(handled.wait(), PATIENCE)


def test_a_run_that_still_trains_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [_answer(404, None), _answer(200, {"epochs": [0, 1]}), _answer(200, {"epochs": [0, 1, 2]})]
    monkeypatch.setattr(Reader, "get", lambda *_: answers.pop(0))

    assert Reader().wait_warm("r1", 3)["epochs"] == [0, 1, 2]


def _answer(status: int, document: object) -> requests.Response:
    answer = requests.Response()
    answer.status_code, answer._content = status, json.dumps(document).encode()
    return answer


def test_without_an_engine_it_says_so_and_what_was_not_run(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.compose"],
        cwd=ROOT, env={"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (0, "not run: docker-compose.yml in containers (no container engine)\n")


def test_every_port_that_is_published_must_be_free_before() -> None:
    published = {int(port.split(":")[1]) for service in services().values() for port in service.get("ports", [])}

    assert set(program.PORTS) == published


def test_it_upgrades_from_a_commit_of_the_history() -> None:
    done = subprocess.run(
        ["git", "merge-base", "--is-ancestor", program.BEFORE, "HEAD"],
        cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode == 128:
        pytest.skip("not run: the version to upgrade Compose from (not in this clone)")

    assert done.returncode == 0


def test_the_recorder_needs_no_package_of_ours() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", ROOT / "tests" / "compose" / "recorder.py"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert "IndexError" in done.stderr  # its arguments are missing, and nothing else
