"""What all tests share: real servers, and the last line, which names what did not run."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from deploy.local.chromium import CHROMIUM, FLAGS
from deploy.local.postgres import Postgres
from deploy.local.process import Part, Process, answers_tcp
from deploy.local.stack import valkey_binary
from tests.environment import VALKEY_PORT

NOT_RUN = "not run: "
_not_run: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if reason not in _not_run:
            _not_run.append(reason)


def pytest_unconfigure(config: pytest.Config) -> None:
    """The last line of all: what could not run here, and why."""
    if not config.getoption("collectonly"):
        print(f"\nNot run here: {'; '.join(reason.removeprefix(NOT_RUN) for reason in _not_run) or 'nothing'}")


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A real Valkey at the REDIS_URL that Django was set up with."""
    folder = tmp_path_factory.mktemp("valkey")
    process = start_valkey(folder, VALKEY_PORT)
    yield process
    process.stop()


def start_valkey(folder: Path, port: int) -> Process:
    """Starts Valkey and waits until it answers."""
    command = [valkey_binary(), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--save", ""]
    process = Process(Part("valkey", command, answers_tcp(port)), os.environ, folder / "valkey.log")
    process.wait_ready(10)
    return process


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL, in a folder that another user may enter."""
    with tempfile.TemporaryDirectory(prefix="warmboard-postgres-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        server = Postgres(Path(folder))
        server.start()
        yield server
        server.stop()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    if not CHROMIUM:
        pytest.skip(f"{NOT_RUN}the pages in a browser (no Chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()
