"""The first contact with an MLflow that has thousands of runs: ``make bench-backfill``.

Each way to read them, on both databases, by one process of ``python -m workers warm``; beside it ``aimlflow sync``,
which copies an MLflow into Aim. By database the process is killed with -9 twice, and fresh events come meanwhile.
BENCH_BACKFILL_RUNS is how many runs are read by database (10,000). BENCH_BACKFILL_ON=PostgreSQL, or SQLite, measures on
that database alone, without ``aimlflow``.
"""

from __future__ import annotations

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import psutil
import requests

from benchmarks.burst import count, fresh_waits, running_stack
from benchmarks.report import Measure, percentile, say
from benchmarks.runs import copies_of, insert_run
from benchmarks.servers import Servers, servers
from deploy.local import isolated
from deploy.local.stack import Stack

EPOCHS = 100
KEYS = [
    *(f"{side}/{name}" for side in ("train", "val") for name in ("loss", "acc1", "acc5")),
    "lr",
    *(f"layers.{number}/{name}" for number in range(9) for name in ("weight_norm", "grad_norm", "grad_std")),
]
"""34 metrics."""
BY_DATABASE = int(os.environ.get("BENCH_BACKFILL_RUNS") or 10_000)
ON = os.environ.get("BENCH_BACKFILL_ON")
ALONE, PARTS = 500, 5
"""The max number of runs that each way reads with nothing beside, and how many turns they take."""
BY_AIMLFLOW, TURNS = 70, 3
KILLED_AT = (0.2, 0.5)
"""By database, the process is killed when so much of the runs is warm."""
LEAST_RATE, LEAST_TIMES, MOST_FRESH = 25.0, 10.0, 1.0


@dataclass
class Backfill:
    """The command on a stack: what its processes warmed, in which time, with how much memory."""

    stack: Stack
    given: dict[str, str] = field(default_factory=dict)
    """The command's own settings, in place of the stack's."""
    warmed: list[str] = field(default_factory=list)
    seconds: float = 0.0
    """From the first run of each process to its last."""
    counted: int = 0
    """The runs after the first of each process."""
    used: float = 0.0
    """Processor time of the processes from their first run on, in seconds."""
    peak: float = 0.0
    """Resident memory of the largest process, in MiB."""

    @property
    def rate(self) -> float:
        return self.counted / self.seconds

    def warm(self, *which: str, kill_at: int | None = None) -> None:
        """Run the command to its end, or kill it once so many runs are warm, those of earlier processes included."""
        command = [sys.executable, "-u", "-m", "workers", "warm", *which]
        environ = {**os.environ, **self.stack.environ, **self.given}
        process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        times, start = [], 0.0
        for line in process.stdout or ():
            if found := re.match(r"run (\w+) warm: ", line):
                start = start or sum(psutil.Process(process.pid).cpu_times()[:2])
                self.warmed.append(found[1])
                times.append(time.monotonic())
            if len(self.warmed) == kill_at:
                process.send_signal(signal.SIGKILL)
                break
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != (0 if kill_at is None else -signal.SIGKILL):
            raise RuntimeError(f"`python -m workers warm` ended with {process.returncode}")
        self.peak = max(self.peak, used.ru_maxrss / 1024)
        self.used += used.ru_utime + used.ru_stime - start
        self.seconds += times[-1] - times[0]
        self.counted += len(times) - 1

    def measures(self, name: str, runs: list[str], least: float = 0.0) -> Iterator[Measure]:
        # Of a core: other work on the machine takes part of the time, but none of the processor time.
        rates = (name, self.rate), (f"{name}: in a second of processor time", self.counted / self.used)
        for what, rate in rates:
            yield Measure(what, rate, "runs/s", None, f"≥ {least:g}" if least else "", rate >= least)
        yield Measure(f"{name}: peak memory", self.peak, "MiB")
        warm, twice = count(self.stack, "store_warmentry", runs), len(self.warmed) - len(set(self.warmed))
        yield Measure(f"{name}: warm", warm, "runs", len(runs), "all", warm == len(runs))
        yield Measure(f"{name}: warmed twice", twice, "runs", None, "none", not twice)


def measure() -> Iterator[Measure]:
    """Runs a second and memory of each way; what was missed or repeated; the seconds of fresh events meanwhile."""
    with servers() as pairs:
        for pair in pairs:
            if ON not in (None, pair.database):
                continue
            say(f"{pair.database}: inserting {BY_DATABASE:,} runs of {len(KEYS)} metrics by {EPOCHS} epochs")
            # Before the server has any other: the command takes all that it lists.
            first = insert_run(pair.ours, pair.uri, EPOCHS, values)
            runs = [first, *copies_of(pair.ours, pair.uri, first, BY_DATABASE - 1)]
            yield from _beside_fresh_events(pair, first, runs)
            yield from _in_turn(pair, runs)
        if ON is None:
            yield from _beside_aimlflow(pairs[0], first)


def _ways(pair: Servers) -> dict[str, dict[str, str]]:
    """The settings of each way to read runs."""
    return {
        "by database": {"MLFLOW_TRACKING_URI": pair.stock, "MLFLOW_TRACKING_DATABASES": f"default={pair.uri}"},
        "bulk route": {"MLFLOW_TRACKING_URI": pair.ours},
        "stock HTTP": {"MLFLOW_TRACKING_URI": pair.stock},
    }


def _beside_fresh_events(pair: Servers, first: str, runs: list[str]) -> Iterator[Measure]:
    """All runs by database, by a command that is killed twice, while fresh events come and a worker warms them."""
    name = f"{pair.database}, by database, {len(runs):,} runs"
    with running_stack(**_ways(pair)["by database"]) as supervisor:
        backfill = Backfill(supervisor.stack)
        say(f"{name}, killed at {' and '.join(f'{part:.0%}' for part in KILLED_AT)}; fresh events beside them")
        environ = {**os.environ, **supervisor.stack.environ, "BENCH_DATABASE": pair.uri}
        with subprocess.Popen(
            [sys.executable, "-m", "benchmarks.fresh", first], env=environ, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True,
        ) as publishing:  # fmt: skip
            for part in KILLED_AT:
                backfill.warm("--all", kill_at=round(len(runs) * part))
            backfill.warm("--all")
            fresh: list[str] = json.loads(publishing.communicate("stop\n")[0])
        yield from backfill.measures(name, runs, least=LEAST_RATE)
        waited = fresh_waits(supervisor.stack.urls["web"], fresh)
        median, p95 = statistics.median(waited), percentile(waited, 0.95)
        yield Measure(f"{len(fresh)} fresh events meanwhile, median", median, "s")
        yield Measure(f"{name}: fresh events, p95", p95, "s", None, f"≤ {MOST_FRESH:g} s", p95 <= MOST_FRESH)


def _in_turn(pair: Servers, runs: list[str]) -> Iterator[Measure]:
    """Each way with nothing beside it, and with runs of its own. They take turns: the machine's speed changes."""
    ways = _ways(pair)
    each = min(ALONE, len(runs) // len(ways))
    of_way = {way: runs[number * each : (number + 1) * each] for number, way in enumerate(ways)}
    with running_stack(MLFLOW_TRACKING_URI=pair.stock) as supervisor:
        backfills = {way: Backfill(supervisor.stack, given) for way, given in ways.items()}
        for turn in range(PARTS):
            say(f"{pair.database}, {', '.join(ways)}, {each} runs each: turn {turn + 1} of {PARTS}")
            for way, backfill in backfills.items():
                backfill.warm(*of_way[way][turn * each // PARTS : (turn + 1) * each // PARTS])
        for way, backfill in backfills.items():
            least = LEAST_RATE if way == "by database" else 0.0
            yield from backfill.measures(f"{pair.database}, {way}, {each} runs", of_way[way], least)
    rate, stock = backfills["by database"].rate, backfills["stock HTTP"].rate
    name = f"{pair.database}: by database / stock HTTP"
    yield Measure(name, rate, "runs/s", stock, f"≥ {LEAST_TIMES:g} times", rate >= LEAST_TIMES * stock)


def _beside_aimlflow(pair: Servers, first: str) -> Iterator[Measure]:
    """Both read the same new runs from the stock server, in turn: other work on the machine affects both."""
    ours, theirs, memory = list[float](), list[float](), 0.0
    with running_stack(MLFLOW_TRACKING_URI=pair.stock) as supervisor:
        for turn in range(TURNS):
            say(f"aimlflow sync, and we, {BY_AIMLFLOW} runs: turn {turn + 1} of {TURNS}")
            runs = copies_of(pair.ours, pair.uri, first, BY_AIMLFLOW)
            rate, peak = _sync(pair, runs)
            backfill = Backfill(supervisor.stack)
            backfill.warm(*runs)
            ours.append(backfill.rate)
            theirs.append(rate)
            memory = max(memory, peak)
    name = f"{pair.database}, stock HTTP / aimlflow sync of {BY_AIMLFLOW} runs, medians of {TURNS}"
    yield Measure(name, statistics.median(ours), "runs/s", statistics.median(theirs))
    yield Measure("aimlflow sync: peak memory", memory, "MiB")


def _sync(pair: Servers, runs: list[str]) -> tuple[float, float]:
    """``aimlflow sync`` of their experiment, until it has copied all and begins to watch: runs a second, MiB."""
    programs = isolated.binaries("aimlflow")
    asked = requests.get(f"{pair.stock}/api/2.0/mlflow/runs/get", params={"run_id": runs[0]}, timeout=60)
    experiment = asked.json()["run"]["info"]["experiment_id"]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([programs / "aim", "init", "--repo", folder], check=True, capture_output=True)
        command = [str(programs / "aimlflow"), "sync", "--aim-repo", folder, "--mlflow-tracking-uri", pair.stock]
        command += ["--experiment", experiment, "--exclude-artifacts", "*"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        began = seconds = 0.0
        for line in process.stdout or ():
            if line.startswith("Converting"):
                began = time.monotonic()
            if line.startswith("Starting watcher"):
                seconds = time.monotonic() - began
                process.terminate()
        _, _, used = os.wait4(process.pid, 0)
        process.returncode = 0
    if not seconds:
        raise RuntimeError("`aimlflow sync` ended before it had copied all runs")
    return len(runs) / seconds, used.ru_maxrss / 1024


def values(epochs: int) -> Iterator[dict[str, float]]:
    random = np.random.default_rng(1)
    for _ in range(epochs):
        yield dict(zip(KEYS, random.normal(size=len(KEYS)).tolist(), strict=True))
