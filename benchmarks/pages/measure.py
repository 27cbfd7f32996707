"""One run of 100 epochs in our page, in those of other tools, and in a static page: ``make bench-pages``."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.burst import running_stack
from benchmarks.pages import contenders
from benchmarks.pages.browser import Opened, Shown, chromium, open_twice, transferred
from benchmarks.pages.contenders import EPOCHS, Place
from benchmarks.pages.values import many_metrics, two_towers
from benchmarks.report import Measure, say
from benchmarks.runs import insert_run
from deploy.local.supervisor import Supervisor

ROUNDS = 7
LONG = 10_000
FLOOR, MLFLOW, LARGER = 1.5, 10, 1.5
MOST_KIB = 150
GIVEN = ("PATH", "HOME", "LANG")


def measure() -> Iterator[Measure]:
    """Milliseconds until the charts are drawn, cold and warm; KiB transferred; web vitals."""
    with running_stack() as supervisor, tempfile.TemporaryDirectory(prefix="warmboard-bench-") as name:
        web, runs = supervisor.stack.urls["web"], _warm_runs(supervisor)
        environ = {name: os.environ[name] for name in GIVEN if name in os.environ}
        environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"
        with contenders.place(Path(name), environ) as at:
            ours = contenders.ours(web, runs["short"])
            floor = contenders.floor(at, web, runs["short"])
            mlflow = contenders.mlflow(supervisor.stack.environ["MLFLOW_TRACKING_URI"], runs["short"])
            others = list(_others(at))
            larger = [
                contenders.ours(web, runs["long"], f"a run of {LONG:,} epochs"),
                contenders.ours(web, runs["many"], "a run of 2,000 metrics"),
            ]
            # Similar pages need a more precise comparison, so they are opened more often.
            near = [floor, ours]
            opened = _rounds([*near, *larger, *near, mlflow, *near, *others])
    yield from _speed(ours, floor, opened, FLOOR)
    yield from _speed(ours, mlflow, opened, 1 / MLFLOW)
    for other in others:
        yield from _speed(ours, other, opened, 1)
    for one in larger:
        yield from _speed(one, ours, opened, LARGER)
    yield from _transferred(ours, [floor, mlflow, *others], opened)
    for shown in (ours, floor, mlflow, *others, *larger):
        yield from _vitals(shown, opened[shown.name])


def _others(at: Place) -> Iterator[Shown]:
    say("the same run in TensorBoard, Aim and trackio")
    yield from contenders.tensorboard(at)
    yield from contenders.aim(at)
    yield contenders.trackio(at)


def _warm_runs(supervisor: Supervisor) -> dict[str, str]:
    environ = supervisor.stack.environ
    where = environ["MLFLOW_TRACKING_URI"], environ["MLFLOW_BACKEND_STORE_URI"]
    say(f"runs of {EPOCHS} and {LONG:,} epochs, and one of 2,000 metrics")
    runs = {
        "short": insert_run(*where, EPOCHS, two_towers),
        "long": insert_run(*where, LONG, two_towers),
        "many": insert_run(*where, EPOCHS, many_metrics),
    }
    subprocess.run([sys.executable, "-m", "workers", "warm", *runs.values()], env=environ, check=True)
    return runs


def _rounds(pages: list[Shown]) -> dict[str, Opened]:
    """Open all pages in turn, so that other work on the machine affects all of them. The first look does not count."""
    with chromium() as browser:
        opened = {}
        for page in dict.fromkeys(pages):
            say(f"first look: {page.name}")
            opened[page.name] = Opened(*transferred(browser, page))
        for number in range(ROUNDS):
            say(f"round {number + 1} of {ROUNDS}")
            for page in pages:
                open_twice(browser, page, opened[page.name])
    return opened


def _speed(page: Shown, reference: Shown, opened: dict[str, Opened], most: float) -> Iterator[Measure]:
    for how in ("cold", "warm"):
        value, other = opened[page.name].median(how), opened[reference.name].median(how)
        name = f"{page.name} / {reference.name}: all charts drawn, {how}"
        yield Measure(name, value, "ms", other, f"≤ {most:g}", value <= most * other)


def _transferred(ours: Shown, others: list[Shown], opened: dict[str, Opened]) -> Iterator[Measure]:
    value = opened[ours.name].kib
    for other in others:
        reference = opened[other.name].kib
        yield Measure(f"transferred cold: {ours.name} / {other.name}", value, "KiB", reference)
    yield Measure(f"transferred cold: {ours.name}", value, "KiB", None, f"≤ {MOST_KIB} kB", value * 1.024 <= MOST_KIB)


def _vitals(page: Shown, opened: Opened) -> Iterator[Measure]:
    yield Measure(f"{page.name}: LCP, cold", opened.median("lcp"), "ms")
    yield Measure(f"{page.name}: CLS, cold", opened.median("cls"), "")
    yield Measure(f"{page.name}: INP, a click and three keys", opened.median("inp"), "ms")
    yield Measure(f"{page.name}: requests, cold", opened.requests, "")
