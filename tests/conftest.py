"""What all tests share: real servers, the order of the groups, and the last line, which names what did not run."""

from __future__ import annotations

import gc
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
from django.db import connection
from django.test import TransactionTestCase
from playwright.sync_api import Browser, expect, sync_playwright
from pytest_django import DjangoDbBlocker

from deploy.local.chromium import CHROMIUM, FLAGS
from deploy.local.postgres import Postgres
from deploy.local.process import Part, Process, answers_tcp
from deploy.local.stack import valkey_binary
from tests import tables
from tests.environment import VALKEY_PORT
from tests.groups import Groups, rank
from tests.waiting import PATIENCE, PATIENCE_MS

if TYPE_CHECKING:
    from tests.mlflow_server.servers import Server

NOT_RUN = "not run: "
SERVERS = {
    *("valkey", "postgres", "chromium", "running", "connect", "embedded"),
    *("stock_mlflow", "old_mlflow", "our_mlflow", "both_servers", "fasttrackml"),
}
"""Fixtures that start a server or a browser."""
TABLES = {"db", "transactional_db", "django_db_reset_sequences", "django_db_serialized_rollback"}
OUTCOMES = ("failed", "passed", "skipped", "deselected", "xfailed", "xpassed", "error")
_not_run: list[str] = []

# No deadlines: a machine that is busy with something else is no error.
for name, examples in {"default": 100, "fast": 25, "thorough": 2000}.items():
    hypothesis.settings.register_profile(name, deadline=None, max_examples=examples, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Groups:
    return Groups(config, log)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes are named by their argument. By their content, as pytest does it, a compressed file has another name each
    second, and the processes of one run would not collect the same tests.
    """
    return argname if isinstance(val, bytes) else None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """Marks what needs servers, and puts the longest groups first. On PostgreSQL only tests with tables run: what has
    none is the same on every database.
    """
    for item in items:
        if SERVERS.intersection(_fixtures(item)) or item.get_closest_marker("integration"):
            item.add_marker("servers")
    yield
    # After pytest-django, which sorts by the kind of database access.
    items.sort(key=lambda item: rank(item.nodeid))
    if connection.vendor == "postgresql":
        config.hook.pytest_deselected(items=[item for item in items if not _has_tables(item)])
        items[:] = [item for item in items if _has_tables(item)]


def pytest_collection_finish() -> None:
    """What is there by now stays: the collector need not look at it again, thousands of times."""
    gc.collect()
    gc.freeze()


def _has_tables(item: pytest.Item) -> bool:
    return bool(TABLES.intersection(_fixtures(item)) or item.get_closest_marker("django_db"))


def _fixtures(item: pytest.Item) -> list[str]:
    return getattr(item, "fixturenames", [])


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if reason not in _not_run:
            _not_run.append(reason)


def pytest_unconfigure(config: pytest.Config) -> None:
    """The last line of all: what could not run here, and why."""
    if config.getoption("collectonly") or hasattr(config, "workerinput"):
        return
    reasons = [reason.removeprefix(NOT_RUN) for reason in _not_run]
    if told := os.environ.get("TESTS_TOLD"):
        # ``python -m tests`` tells it, with that of its other run.
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        stats = reporter.stats if reporter else {}
        counts = {outcome: len(stats.get(outcome, [])) for outcome in OUTCOMES}
        Path(told).write_text(json.dumps({"counts": counts, "not_run": reasons}))
    else:
        print(f"\nNot run here: {'; '.join(reasons) or 'nothing'}")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """The tables, and a cheaper way to empty them after a test that commits."""
    with django_db_blocker.unblock():
        copied = tables.copy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda _: tables.empty(copied))
        yield


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
    process.wait_ready(PATIENCE)
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


# MLflow's client takes seconds to import, so only tests with a server do it.
@pytest.fixture(scope="session")
def stock_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """MLflow's own server, for all tests that leave it running."""
    from tests.mlflow_server.servers import stock

    with stock(tmp_path_factory.mktemp("mlflow-stock")) as server:
        yield server


@pytest.fixture(scope="session")
def old_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The same of MLflow 2.9.2."""
    from tests.mlflow_server.servers import old

    with old(tmp_path_factory.mktemp("mlflow-old")) as server:
        yield server


@pytest.fixture(scope="session")
def fasttrackml(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Another server with MLflow's REST API."""
    from tests.mlflow_server.servers import fasttrackml

    with fasttrackml(tmp_path_factory.mktemp("fasttrackml")) as server:
        yield server


@pytest.fixture(scope="session")
def our_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Ours on SQLite, as the start script starts it: uvicorn."""
    from tests.mlflow_server.servers import new_database, started

    folder = tmp_path_factory.mktemp("mlflow-ours")
    with started(folder, new_database(folder)) as server:
        yield server


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    if not CHROMIUM:
        pytest.skip(f"{NOT_RUN}the pages in a browser (no Chromium)")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()
