"""Pages while slow clients are connected, compared with pages without them: ``make bench-slow``."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import requests

from benchmarks.burst import running_stack
from benchmarks.report import Measure, say
from benchmarks.runs import insert_run
from tests.slow_clients import Client, silent, slow_body, slow_clients, slow_headers, slow_reader

EACH = 16
CALM_SECONDS, SLOW_SECONDS = 20, 60
EPOCHS = 1_000
MOST = 3.0


def measure() -> Iterator[Measure]:
    """The list and a run's page, one request after another, before and during an attack by all kinds at once."""
    with running_stack() as supervisor:
        environ, web = supervisor.stack.environ, supervisor.stack.urls["web"]
        run = insert_run(environ["MLFLOW_TRACKING_URI"], environ["MLFLOW_BACKEND_STORE_URI"], EPOCHS)
        subprocess.run([sys.executable, "-m", "workers", "warm", run], env=environ, check=True)
        pages = {"the list of runs": web, "a run's page": f"{web}runs/{run}/"}
        kinds: list[Client] = [
            silent,
            slow_headers,
            slow_body("/sign-in/"),
            slow_reader(f"/api/runs/{run}/training-history/?resolution=full"),
            slow_reader(f"/api/runs/{run}/export.csv"),
        ]
        say("pages without slow clients")
        _milliseconds(pages, 3)
        calm = _milliseconds(pages, CALM_SECONDS)
        with ExitStack() as attack:
            for kind in kinds:
                attack.enter_context(slow_clients(urlsplit(web).port or 0, kind, EACH))
            say(f"pages beside {EACH} slow clients of each of {len(kinds)} kinds")
            slow = _milliseconds(pages, SLOW_SECONDS)
    for page, times in slow.items():
        usual = statistics.median(calm[page])
        median, worst = statistics.median(times), max(times)
        name = f"{page}, beside {EACH} slow clients of every kind"
        yield Measure(f"{name}, median", median, "ms", usual, f"≤ {MOST:g}", median <= usual * MOST)
        yield Measure(f"{name}, the slowest of {len(times)}", worst, "ms", max(calm[page]))


def _milliseconds(pages: dict[str, str], seconds: float) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {page: [] for page in pages}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for page, address in pages.items():
            begin = time.perf_counter()
            requests.get(address, timeout=60).raise_for_status()
            found[page].append(1000 * (time.perf_counter() - begin))
        time.sleep(0.1)
    return found
