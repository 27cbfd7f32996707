"""A model of many runs a day: ``python -m benchmarks scale``. docs/scale.md has its results and what was confirmed.

Runs end at random, three times as often at the busiest hour as on average. Processes of workers take them in order; how
long one takes is drawn from a lognormal distribution around the measured time. Simulated is the busiest hour.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass
from math import log, sqrt

from benchmarks.report import Measure, percentile

DAY = 86_400
PEAK = 3.0
HOUR = 3_600.0
SPREAD = 0.5
"""Standard deviation of a service time, in parts of its mean."""
PATIENCE = 1.0
"""The wait that 95 % of the runs may have, in seconds."""


@dataclass(frozen=True)
class Way:
    """How runs are read: seconds of one worker process a run, and seconds of the tracking server's processor."""

    name: str
    worker: float
    server: float


WAYS = (
    # docs/reference/benchmarks.md, "Where a queued run's time goes" and "Fetching a whole run"; 100 epochs.
    Way("bulk route", 0.060, 0.011),
    Way("stock HTTP", 0.060 - 0.021 + 0.511, 0.49),
)
RUNS_A_DAY = (10_000, 100_000, 1_000_000)


def measure() -> Iterator[Measure]:
    """For each number of runs a day: the processes that keep the wait short, and the cores of the tracking server."""
    for way in WAYS:
        for runs in RUNS_A_DAY:
            rate = PEAK * runs / DAY
            processes, p95 = needed(rate, way.worker)
            name = f"{runs:,} runs a day, {way.name}"
            yield Measure(f"{name}: worker processes", processes, "")
            yield Measure(
                f"{name}: wait at the busiest hour, p95", p95, "s", None, f"≤ {PATIENCE:g} s", p95 <= PATIENCE
            )
            yield Measure(f"{name}: cores of MLflow's server", rate * way.server, "")


def needed(rate: float, service: float) -> tuple[int, float]:
    """The least number of processes with which 95 % wait PATIENCE at most, and that wait."""
    processes = max(1, int(rate * service) + 1)
    while (p95 := percentile(waits(rate, service, processes), 0.95)) > PATIENCE:
        processes += 1
    return processes, p95


def waits(rate: float, service: float, processes: int, seconds: float = HOUR) -> list[float]:
    """Simulate a queue: arrivals at random, first come, first served; the seconds that each waited."""
    chance = random.Random(1)
    sigma = sqrt(log(1 + SPREAD**2))
    mean = log(service) - sigma**2 / 2
    free = [0.0] * processes
    found, now = [], 0.0
    while (now := now + chance.expovariate(rate)) < seconds:
        begin = max(now, free[0])
        found.append(begin - now)
        heapq.heapreplace(free, begin + chance.lognormvariate(mean, sigma))
    return found
