"""The list of 100,000 runs compared with the list of 1,000, through the real webapp: ``make bench-runs``.

``BENCH_LIST_RUNS=1000000 BENCH_LIST_METRICS=10`` measures another number of runs and of metrics of each.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import psycopg
import requests

from benchmarks.report import Measure, percentile, say
from benchmarks.servers import new_postgres
from deploy.local.postgres import Postgres
from deploy.local.process import Part, Process, answers_http, free_port
from deploy.local.stack import valkey_binary
from warmboard.contract.entries import SCHEMA_VERSION

FEW, MANY = 1_000, int(os.environ.get("BENCH_LIST_RUNS") or 100_000)
METRICS = int(os.environ.get("BENCH_LIST_METRICS") or 30)
"""Of each run: 7 final ones, the validation loss, and layers."""
ROUNDS, WARM_UP = 100, 3
"""Of 40 pages the third slowest is the 95th percentile: one stall of the machine decides."""
BUDGET = 1.5
ASKED = {
    "newest": "",
    "search: a word that many have": "?q=tower",
    "search: a word that few have": "?q=needle",
    "search: a word that none has": "?q=nothinglikeit",
    "filter: a parameter": "?q=param.optimizer+%3D+adam",
    "filter: a rare parameter": "?q=param.learning_rate+%3D+0.0017",
    "filter: a metric": "?q=metric.test_recall_at_100+%3E+0.05",
    "filter: a metric that few reach": "?q=metric.test_recall_at_100+%3E+0.097&limit=15",
    "filter: a status that few have": "?q=status+%3D+failed&limit=15",
    "filter: parameter and metric": "?q=param.optimizer+%3D+adam+and+metric.test_recall_at_100+%3E+0.05",
    "filter: days": "?q=started+%3E+2025-12-20",
    "filter: a metric's min": "?q=metric.val_loss.min+<+0.5",
    "filter: a metric's min that few reach": "?q=metric.val_loss.min+<+0.02&limit=15",
    "sort: a metric": "?sort=-metric.test_recall_at_100",
    "sort: a metric's min": "?sort=metric.val_loss.min",
    "sort: a metric's max": "?sort=-metric.val_loss.max",
    "sort: a parameter": "?sort=param.learning_rate",
    "sort: epochs": "?sort=-epochs",
    "sort: name": "?sort=name",
    "sort: a metric, filtered": "?sort=metric.final_val_loss&q=param.optimizer+%3D+adam",
}
PAGED = ("newest", "sort: a metric", "sort: a metric's min", "filter: a parameter", "search: a word that many have")
# Every run has 6 parameters, 7 final metrics and curves; a few runs have a rare word or a rare value.
FILL = """
INSERT INTO store_run (run_id, tracking_server, experiment_name, name, status, params, final_metrics, sparkline,
    announced_at, start_time, end_time, epochs, fetched_at, warmed_at, schema_version, rebuild_attempts, rebuild_reason)
SELECT md5(n::text), 'default', 'two tower ' || n % 20,
    'quick-test-' || n || CASE WHEN n % {rare} = 0 THEN ' needle' ELSE '' END,
    CASE WHEN n % 50 = 0 THEN 'FAILED' ELSE 'FINISHED' END,
    jsonb_build_object('optimizer', (ARRAY['adam', 'adagrad', 'sgd'])[1 + n % 3],
        'embedding_dim', (16 << n % 4)::text, 'learning_rate',
        (CASE WHEN n % {rare} = 0 THEN 0.0017 ELSE (1 + n % 9) / 100.0 END)::text)
        || (SELECT jsonb_object_agg('setting_' || k, ((n * k) % 7)::text) FROM generate_series(1, 3) k),
    (SELECT jsonb_object_agg(key, value) FROM (
        SELECT 'test_recall_at_' || k AS key, (hashint4(n * k)::bigint & 1048575) / 10485760.0 AS value
        FROM unnest(ARRAY[5, 10, 50, 100]) k
        UNION ALL SELECT loss, 1 + (hashint4(n + 1)::bigint & 65535) / 65536.0
        FROM unnest(ARRAY['final_loss', 'final_val_loss', 'test_loss']) loss) metrics),
    (SELECT jsonb_agg(round((1 + 2 * exp(-k / 9.0))::numeric, 4)) FROM generate_series(1, 40) k),
    moment, moment - interval '1 hour', moment, 20 + n % 80, moment, moment, {schema}, 0, ''
FROM generate_series(1, {runs}) n, LATERAL (SELECT timestamptz '2026-01-02T12:00Z' - n * interval '1 minute') t(moment);
INSERT INTO store_runparam (run_id, key, text, number)
SELECT run_id, key, value, CASE WHEN key <> 'optimizer' THEN value::float END FROM store_run, jsonb_each_text(params);
INSERT INTO store_runmetric (run_id, key, value, first, min, max, count)
SELECT run_id, key, number, number, number, number, 1
FROM store_run, jsonb_each(final_metrics), LATERAL (SELECT value::text::float) v(number);
INSERT INTO store_runmetric (run_id, key, value, first, min, max, count)
SELECT md5(n::text), key, last, last + 1, last * 0.9, last * 1.1 + 1, 20 + n % 80
FROM generate_series(1, {runs}) n,
    unnest('val_loss'::text || ARRAY(SELECT 'layer_' || k FROM generate_series(1, {layers}) k)) key,
    LATERAL (SELECT (hashtext(n || key)::bigint & 1048575) / 1048576.0) v(last);
"""


def measure() -> Iterator[Measure]:
    """95th percentiles of whole pages in ms: those of many runs, with those of few as reference."""
    with (
        new_postgres() as (postgres, folder),
        _webapp(folder, postgres, FEW) as few,
        _webapp(folder, postgres, MANY) as many,
    ):
        times = _times({FEW: _asked(few), MANY: _asked(many)})
    for what in _names():
        value, reference = (percentile(times[runs, what], 0.95) for runs in (MANY, FEW))
        yield Measure(f"{what}, p95", value, "ms", reference, f"≤ {BUDGET:g}", value <= BUDGET * reference)
        value, reference = (statistics.median(times[runs, what]) for runs in (MANY, FEW))
        yield Measure(f"{what}, median", value, "ms", reference)


def _names() -> list[str]:
    return [*ASKED, *(f"next page: {what}" for what in PAGED)]


def _asked(site: str) -> dict[str, str]:
    """Each page's address. The address of a next page comes from the page before it."""
    addresses = {what: site + query for what, query in ASKED.items()}
    for what in PAGED:
        addresses[f"next page: {what}"] = site + _next(addresses[what])
    return addresses


def _next(address: str) -> str:
    page = requests.get(address, timeout=30).text
    return page.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")


def _times(addresses: dict[int, dict[str, str]]) -> dict[tuple[int, str], list[float]]:
    """Milliseconds by number of runs and page. Both sizes in turn, so that other work on the machine affects both."""
    times: dict[tuple[int, str], list[float]] = defaultdict(list)
    with requests.Session() as session:
        for number in range(WARM_UP + ROUNDS):
            if number % 10 == 0:
                say(f"round {number} of {WARM_UP + ROUNDS}")
            for what, runs in product(_names(), addresses):
                begin = time.perf_counter()
                session.get(addresses[runs][what], timeout=30).raise_for_status()
                if number >= WARM_UP:
                    times[runs, what].append((time.perf_counter() - begin) * 1000)
    return times


@contextmanager
def _webapp(folder: Path, postgres: Postgres, runs: int) -> Iterator[str]:
    """The address of a webapp with this number of runs."""
    say(f"creating {runs:,} runs")
    database = f"runs{runs}"
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {database}")
    address = postgres.url(database)
    with serving(folder, address, database) as site:
        with psycopg.connect(address, autocommit=True) as connection:
            filled = FILL.format(runs=runs, rare=runs // 20, schema=SCHEMA_VERSION, layers=METRICS - 8)
            for statement in filled.split(";\n"):
                connection.execute(statement)
            connection.execute("VACUUM ANALYZE")
        yield site


@contextmanager
def serving(folder: Path, database: str, name: str) -> Iterator[str]:
    """The address of a webapp of one process on this database, which gets its tables, with a Valkey of its own."""
    ports = free_port(), free_port()
    environ = {
        **os.environ,
        "DATABASE_URL": database,
        "REDIS_URL": f"redis://127.0.0.1:{ports[0]}/0",
        "WEBAPP_SECRET_KEY": "0" * 32,
        "WEBAPP_STATIC_ROOT": str(folder / "static"),
        "WEBAPP_PORT": str(ports[1]),
        "WEBAPP_LOOPBACK_READ": "true",
        "WEBAPP_PROCESSES": "1",
    }
    for command in (["migrate", "--verbosity=0"], ["collectstatic", "--noinput", "--verbosity=0"]):
        subprocess.run([sys.executable, "-m", "webapp", "manage", *command], env=environ, check=True)
    address = f"http://127.0.0.1:{ports[1]}/"
    valkey = Part("valkey", [valkey_binary(), "--port", str(ports[0]), "--save", ""], lambda: True)
    webapp = Part("webapp", [sys.executable, "-m", "webapp", "serve"], answers_http(f"{address}healthz"))
    started = [Process(part, environ, folder / f"{part.name}-{name}.log") for part in (valkey, webapp)]
    try:
        started[1].wait_ready(30)
        yield address
    finally:
        for process in started:
            process.stop()
