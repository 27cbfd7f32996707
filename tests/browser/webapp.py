"""A webapp as it is deployed (granian, SQLite, Valkey), started for browsers to look at."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.process import Part, Process, answers_tcp, free_port
from tests.browser.seed import Seeder
from tests.environment import VALKEY_PORT
from tests.waiting import PATIENCE


@dataclass(frozen=True)
class Webapp:
    """One that runs."""

    address: str
    environ: dict[str, str]
    process: Process
    seeder: Seeder
    """Changes its store."""


@contextmanager
def webapp(folder: Path, database: int, given: Mapping[str, str], *commands: list[str]) -> Iterator[Webapp]:
    """Keeps its files in ``folder`` and its entries in this database of the tests' Valkey. ``given`` goes over the
    environment; ``commands`` of ``manage`` are run before it serves.
    """
    port = free_port()
    environ = os.environ | {
        "DATABASE_URL": f"sqlite:///{folder / 'site.sqlite3'}",
        "REDIS_URL": f"redis://127.0.0.1:{VALKEY_PORT}/{database}",
        "DJANGO_SETTINGS_MODULE": "webapp.settings",
        "WEBAPP_STATIC_ROOT": str(folder / "static"),
        "WEBAPP_PORT": str(port),
        **given,
    }
    commands = (["migrate"], ["collectstatic", "--noinput"], *commands)
    part = Part("webapp", [sys.executable, "-m", "webapp", "serve"], answers_tcp(port))
    with Seeder(environ) as seeder:
        seeder(*(("Command", {"words": words}, "run", {}) for words in commands))
        process = Process(part, environ, folder / "webapp.log")
        try:
            process.wait_ready(PATIENCE)
            yield Webapp(f"http://127.0.0.1:{port}", environ, process, seeder)
        finally:
            process.stop()
