"""Fetching, compared with all other ways; sampling: ``make bench-warming``."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import sampling
from benchmarks.report import Measure, median_ms, medians_ms, say
from benchmarks.runs import insert_run
from benchmarks.servers import Servers, servers
from benchmarks.ways import bulk_interval, graphql, sequential, straight_sql
from deploy.local.process import Part, Process, answers_tcp, free_port
from deploy.local.stack import valkey_binary
from workers.fetch.fetcher import Fetcher, TrackingServer

TIMES = {100: 15, 1_000: 7, 10_000: 3}
SLOW = {100: 3, 1_000: 3, 10_000: 1}
"""The number of measurements by epochs; fewer of the slow ways, which take a minute each at 10,000."""
WITHIN_SQL = {100: 2.0, 1_000: 1.5}
FASTER = {100: 25, 1_000: 12}
MILLION = 1_000_000
MOST_MEMORY = 350
"""MiB."""


def measure() -> list[Measure]:
    """All measures, on servers started for them."""
    measures: list[Measure] = []
    with servers() as pairs:
        for pair in pairs:
            for epochs in TIMES:
                say(f"{pair.database}, {epochs:,} epochs: fetching in every way")
                measures += _fetches(pair, epochs)
        say("a run of a million points")
        measures += _million(pairs[0])
    say("sampling")
    measures += sampling.measure()
    return measures


def _fetches(pair: Servers, epochs: int) -> Iterator[Measure]:
    run_id = insert_run(pair.ours, pair.uri, epochs)
    rows, curves = straight_sql(pair.uri)
    bulk, stock = (Fetcher(TrackingServer(name, uri)) for name, uri in (("ours", pair.ours), ("stock", pair.stock)))
    fetched = bulk.fetch(run_id).curves
    if fetched.keys() != curves(run_id).keys():
        raise RuntimeError(f"the bulk route did not answer all of run {run_id}")
    times, slow = TIMES[epochs], SLOW[epochs]
    where = f"{pair.database}, {epochs:,} epochs"

    fast_ways = [lambda: bulk.fetch(run_id), lambda: curves(run_id), lambda: rows(run_id)]
    bulk_ms, sql_ms, rows_ms = medians_ms(fast_ways, times)
    stock_ms, one_by_one = medians_ms([lambda: stock.fetch(run_id), lambda: sequential(pair.stock, run_id)], slow)

    within, faster = WITHIN_SQL.get(epochs), FASTER.get(epochs)
    yield _at_most(f"{where}: bulk fetch / straight SQL, same client", bulk_ms, sql_ms, within)
    yield Measure(f"{where}: bulk fetch / rows of the SELECT alone", bulk_ms, "ms", rows_ms)
    yield _at_most(f"{where}: bulk fetch / sequential", bulk_ms, one_by_one, 1 / faster if faster else None)
    yield _at_most(f"{where}: stock fetch / sequential", stock_ms, one_by_one, 0.5)
    others: dict[str, Callable[[str, str], None]] = {"get-history-bulk-interval": bulk_interval, "GraphQL": graphql}
    for name, way in others.items():
        other = median_ms(partial(way, pair.stock, run_id), slow)
        yield Measure(f"{where}: bulk fetch / {name}", bulk_ms, "ms", other)
    for name, address in (("bulk", pair.ours), ("stock", pair.stock)):
        yield Measure(f"{where}: memory that a {name} fetch adds at its peak", _peak(address, run_id), "MiB")


def _million(pair: Servers) -> Iterator[Measure]:
    """Warm one metric of a million points, in a process of its own."""

    def values(epochs: int) -> Iterator[dict[str, float]]:
        for value in np.random.default_rng(1).normal(size=epochs).tolist():
            yield {"loss": value}

    run_id = insert_run(pair.ours, pair.uri, MILLION, values)
    with tempfile.TemporaryDirectory(prefix="warmboard-bench-") as folder:
        port = free_port()
        command = [valkey_binary(), "--bind", "127.0.0.1", "--port", str(port), "--dir", folder, "--save", ""]
        valkey = Process(Part("valkey", command, answers_tcp(port)), os.environ, Path(folder) / "valkey.log")
        try:
            valkey.wait_ready(60)
            stored = {"DATABASE_URL": f"sqlite:///{folder}/store.sqlite3", "REDIS_URL": f"redis://127.0.0.1:{port}/0"}
            seconds, peak = map(float, _measured("--warm", pair.ours, run_id, **stored).split())
        finally:
            valkey.stop()
    yield Measure("a million points of one metric: fetched, sampled, stored", seconds, "s")
    budget = f"≤ {MOST_MEMORY}"
    yield Measure("a million points: the worker's peak memory", peak, "MiB", None, budget, peak <= MOST_MEMORY)


def _at_most(name: str, value: float, reference: float, most: float | None) -> Measure:
    if most is None:
        return Measure(name, value, "ms", reference)
    return Measure(name, value, "ms", reference, f"≤ {most:.3g}", value <= reference * most)


def _peak(address: str, run_id: str) -> float:
    """MiB that one fetch adds to the peak memory of its own process."""
    return float(_measured(address, run_id))


def _measured(*arguments: str, **environ: str) -> str:
    command = [sys.executable, "-m", "benchmarks.peak", *arguments]
    return subprocess.run(command, env={**os.environ, **environ}, stdout=subprocess.PIPE, text=True, check=True).stdout
