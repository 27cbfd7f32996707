"""One storm: a seed, a database, and what became of every message."""

from __future__ import annotations

import heapq
import itertools
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from chaos import plan, runs
from chaos.breaking import Breaker
from chaos.plan import Fault, Scale
from chaos.publisher import Publisher
from chaos.stage import SERVER, Stage
from chaos.tables import Body, Tables
from chaos.verdict import Verdict, judge, settled
from deploy.local.supervisor import say

CALM_REDIS = "/1"
"""Another of Valkey's databases, for the calm warming."""
POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Outcome:
    """What happened in a storm. ``seconds`` is how long all took, the start of the stack included."""

    seed: int
    database: str
    scale: Scale
    faults: Counter[str]
    messages: int
    repeated: int
    restarts: int
    could_fill: bool
    peak_bytes: int
    verdict: Verdict
    seconds: float


def play(
    seed: int, scale: Scale, database: str, *, patience: float, clocks: Mapping[str, str] | None = None
) -> Outcome:
    """Start a stack, break it, wait until nothing is unfinished, and compare with a calm warming.

    ``patience`` is how many seconds after the storm all must have settled.
    """
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="warmboard-chaos-", ignore_cleanup_errors=True) as folder,
        Stage(Path(folder), database, clocks or {}) as stage,
    ):
        say(f"storm {seed} on {database}: logging {scale.runs} runs")
        script = runs.script(seed, runs.log_runs(stage.mlflow, seed, scale.runs), scale.seconds, SERVER)
        faults = plan.faults(seed, scale, database, disk=stage.can_fill)
        publisher = Publisher(stage.stack.environ["PUBSUB_EMULATOR_HOST"], script.messages, time.monotonic())
        publisher.start()
        _break(Breaker(stage, seed), faults)
        ended, tables = datetime.now(UTC), Tables(stage.stack.environ["DATABASE_URL"])
        waited = _wait(lambda: _left(publisher, tables, script), patience)
        publisher.stop()
        verdict = judge(tables, script, _calm(stage, script.warm, Path(folder)), ended)
        if waited:
            verdict.problems.insert(0, f"{patience:.0f} s after the storm: {waited}")
        return Outcome(
            seed=seed,
            database=database,
            scale=scale,
            faults=Counter(f"{fault.kind} {fault.target}" for fault in faults),
            messages=len(script.messages),
            repeated=publisher.repeated,
            restarts=stage.restarts,
            could_fill=stage.can_fill,
            peak_bytes=stage.peak_bytes,
            verdict=verdict,
            seconds=time.monotonic() - began,
        )


def _break(breaker: Breaker, faults: list[Fault]) -> None:
    """Begin and end the faults at their times."""
    begin, order = time.monotonic(), itertools.count()
    due: list[tuple[float, int, str, Callable[[], object]]] = []

    def begin_of(fault: Fault) -> Callable[[], object]:
        def act() -> None:
            end = breaker.begin(fault)
            if fault.seconds:
                heapq.heappush(due, (fault.end, next(order), f"end of: {fault}", end))

        return act

    due += [(fault.at, next(order), str(fault), begin_of(fault)) for fault in faults]
    heapq.heapify(due)
    while due:
        at, _, words, act = heapq.heappop(due)
        time.sleep(max(0.0, begin + at - time.monotonic()))
        say(f"  {time.monotonic() - begin:6.1f} s  {words}")
        act()


def _left(publisher: Publisher, tables: Tables, script: runs.Script) -> str:
    """What is left to do, in words; empty if nothing is."""
    return f"{publisher.left} messages not taken" if publisher.left else settled(tables, script)


def _wait(left: Callable[[], str], patience: float) -> str:
    """Wait until nothing is left; returns what still is after ``patience`` seconds."""
    begin, said = time.monotonic(), ""
    while what := left():
        if time.monotonic() - begin > patience:
            return what
        if what != said:
            say(f"  {time.monotonic() - begin:6.1f} s after the storm: {what}")
            said = what
        time.sleep(POLL_SECONDS)
    return ""


def _calm(stage: Stage, run_ids: list[str], folder: Path) -> dict[Body, bytes]:
    """The bodies of a warming without faults, into a database of its own. Raises CalledProcessError."""
    say(f"warming {len(run_ids)} runs in a calm, to compare")
    environ = stage.stack.environ
    url = f"sqlite:///{folder}/calm.sqlite3"
    calm = {**environ, "DATABASE_URL": url, "REDIS_URL": environ["REDIS_URL"].rpartition("/")[0] + CALM_REDIS}
    for command in stage.stack.migrations()[:1]:
        subprocess.run(command, env=calm, check=True, capture_output=True)
    python = stage.stack.migrations()[0][0]
    subprocess.run([python, "-m", "workers", "warm", *run_ids], env=calm, check=True, capture_output=True)
    return Tables(url).bodies()
