"""Query plans on PostgreSQL with large tables: no frequent query reads a whole table."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from itertools import product

import pytest
import redis
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from deploy.local.process import Process
from store import retention, warm
from store.models import InboxEvent, Run
from store.selection import selected
from store.state import run_state
from tests import tables
from tests.store.samples import NOON, warm_run
from tests.workers.health import scaling
from warmboard.contract.entries import SCHEMA_VERSION, Encoding, EntryKey, Resolution
from warmboard.contract.events import SWEEP_SOURCE
from warmboard.contract.replay import Selection
from webapp.accounts.models import AuditRecord
from webapp.annotations.change import Change
from webapp.listing import known
from webapp.listing.complete.suggest import complete
from webapp.listing.find import find
from webapp.listing.nested import is_folded
from webapp.listing.query import Query, parse
from webapp.listing.sorting import Sort
from webapp.operations.filter import Filter
from webapp.operations.overview import Overview
from webapp.run.summary import Summary
from webapp.visibility.reader import NOTHING, Reader
from workers import inbox
from workers.health import gauges
from workers.recording import behind
from workers.replay import batches as replay
from workers.servers import held
from workers.warm import rebuilds

RUNS = 20_000
MOST_READ = 2_500
"""Max number of rows that a step of a list's plan may read: a thousand for a selective condition, and those skipped."""
MOST_OF_A_KEY = RUNS + MOST_READ
"""The same for what no index orders: it may read all rows of one metric or parameter, but never those of others."""
FILL = f"""
INSERT INTO store_run (run_id, tracking_server, experiment_name, name, status, params, final_metrics, sparkline,
    announced_at, fetched_at, warmed_at, schema_version, rebuild_attempts, rebuild_reason)
SELECT 'run' || n, 'default', 'experiment' || n % 200, 'name', 'FINISHED', '{{}}', '{{}}', '[]',
    moment, moment, moment, {SCHEMA_VERSION} - (n % 4000 = 0)::int, 0, ''
FROM (SELECT n, timestamptz '2026-01-02T12:00Z' - n * interval '1 minute' AS moment FROM generate_series(1, {RUNS}) n);
INSERT INTO store_inboxevent (source, event_id, run_id, type, attributes, data, published_at, received_at, state, reason,
    attempts, claims, claimed_by, due_at, happened_at)
SELECT 's', n::text, 'run' || (n + 1) / 2, 'warmboard.run.completed.v1', '{{}}', '', moment, moment,
    CASE n % 4000 WHEN 0 THEN 'pending' WHEN 1 THEN 'warming' WHEN 2 THEN 'failed' ELSE 'done' END, '', 1, 1, 'w1',
    moment, moment
FROM (SELECT n, timestamptz '2026-01-02T12:00Z' - n * interval '1 minute' AS moment FROM generate_series(1, 2 * {RUNS}) n);
INSERT INTO store_warmentry (run_id, name, resolution, etag, gzip, zstd)
SELECT 'run' || n, name, resolution, '', '', ''
FROM generate_series(1, {RUNS}) n, (VALUES ('history'), ('metric-index')) names(name), (VALUES ('overview'), ('full')) r(resolution);
INSERT INTO store_runsource (run_id, body) SELECT 'run' || n, '' FROM generate_series(1, {RUNS}) n;
INSERT INTO store_quicktest (mlflow_run_id, mlflow_experiment_name, created_at)
SELECT 'run' || n, 'e', now() FROM generate_series(1, {RUNS}) n;
UPDATE store_run SET name = 'needle' WHERE run_id IN ('run77', 'run7700');
UPDATE store_run SET params = jsonb_build_object('optimizer', (n % 3)::text, 'seed', n::text, 'other', '0'),
    final_metrics = jsonb_build_object('loss', n, 'recall', n, 'other', n), start_time = announced_at, epochs = n % 90,
    sparkline = (SELECT jsonb_agg(k / 7.0) FROM generate_series(1, 40) k)
FROM generate_series(1, {RUNS}) n WHERE run_id = 'run' || n;
INSERT INTO store_runparam (run_id, key, text, number)
SELECT 'run' || n, key, (n % modulus)::text, n % modulus
FROM generate_series(1, {RUNS}) n, (VALUES ('optimizer', 3), ('seed', {RUNS} + 1), ('other', 1)) p(key, modulus);
INSERT INTO store_runtag (run_id, key, text)
SELECT 'run' || n, key, (n % modulus)::text
FROM generate_series(1, {RUNS}) n, (VALUES ('team', 3), ('commit', {RUNS} + 1)) t(key, modulus);
UPDATE store_run SET parent = 'run7' WHERE run_id IN ('run8', 'run9', 'run10');
INSERT INTO store_runmetric (run_id, key, value, first, min, max, count)
SELECT 'run' || n, key, n, {RUNS} - n, n, n + 1, 1 + n % 90
FROM generate_series(1, {RUNS}) n, (VALUES ('loss'), ('recall'), ('other')) m(key);
INSERT INTO store_runmetric (run_id, key, value) SELECT 'run' || n, 'older', n FROM generate_series(1, {RUNS}) n;
INSERT INTO store_runmetric (run_id, key, count) SELECT 'run' || n, 'nan', 1 FROM generate_series(1, {RUNS}) n;
"""  # noqa: S608, E501  our own numbers


@pytest.fixture(autouse=True)
def hot(valkey: Process, db: None) -> None:
    """Instead of the fixture that empties all tables after each test of the store: what these change is rolled back."""
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.flushdb()
    warm._local.cache_clear()


@pytest.fixture(scope="module")
def filled(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Large tables. To fill them takes seconds, so it is done once."""
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(FILL)
        # Autovacuum does the same after a while. VACUUM must be its own statement.
        cursor.execute("VACUUM ANALYZE")
    yield
    with django_db_blocker.unblock():
        tables.truncate(*(model._meta.db_table for model in apps.get_app_config("store").get_models()))


def plans(action: Callable[[], object], way: str = "EXPLAIN") -> list[str]:
    """PostgreSQL's plan of each statement of the action."""
    with CaptureQueriesContext(connection) as queries:
        action()
    found = []
    for query in queries:
        if query["sql"].lstrip().startswith(("SELECT", "UPDATE", "DELETE", "WITH")):
            with connection.cursor() as cursor:
                cursor.execute(f"{way} {query['sql'].replace('%', '%%')}")
                found.append("\n".join([query["sql"][:300], *(line for (line,) in cursor)]))
    return found


def read_by(plan: str) -> list[int]:
    """The number of rows that each step read, including those that it skipped."""
    found = re.findall(r"actual rows=([\d.]+) loops=(\d+)", plan)
    passed_by = re.findall(r"Rows Removed by \w+ ?\w*: (\d+)", plan)
    return [*(int(float(rows) * int(loops)) for rows, loops in found), *map(int, passed_by)]


@pytest.mark.usefixtures("filled")
def test_hot_queries_use_indexes() -> None:
    now, longest_kept = timezone.now(), NOON - timedelta(minutes=RUNS - 100)
    keys = [EntryKey.history(f"run{number}", Resolution.FULL) for number in range(1, 50)]
    actions: dict[str, Callable[[], object]] = {
        "an experiment's runs": lambda: list(
            Run.objects.filter(experiment_name="experiment7").order_by("-announced_at", "-run_id")[:50]
        ),
        "one run": lambda: Summary.find("run77", Reader(AnonymousUser())),
        "a run's state": lambda: run_state("run77"),
        "events that failed": lambda: list(InboxEvent.objects.filter(state="failed").order_by("-received_at")[:50]),
        "bodies of many runs": lambda: warm.get_many(keys, Encoding.ZSTD),
        "put": lambda: warm.put(warm_run("first", run_id="run77", minutes=1)),
        "operations": lambda: Overview.find(Filter(), NOTHING),
        "operations, all events": lambda: Overview.find(Filter(state="all"), NOTHING),
        "runs that failed": lambda: list(selected(Selection(failed=True))[:100]),
        "runs of a time": lambda: list(
            selected(Selection(failed=True, since=NOON - timedelta(days=3), until=NOON))[:100]
        ),
        "replay requests that are due": lambda: replay.due(now),
        "what is due": lambda: inbox.due(now),
        "whether anything is due": lambda: inbox.is_due(now),
        "what waits": inbox.pending,
        "what is due behind all else": lambda: behind.due(now),
        "whether anything is due behind all else": lambda: behind.is_due(now),
        "what waits behind all else": behind.pending,
        "what the sweep has found": lambda: inbox.unfinished(SWEEP_SOURCE),
        "a process that was killed": lambda: inbox.release("w1/1"),
        "a worker that ends": lambda: inbox.give_back("w1/"),
        "a claim": lambda: inbox.claim("run2000", "w1"),
        "what waits of a run": lambda: inbox.waits("run2000"),
        "runs that are held back": held.by_server,
        "a scrape of Prometheus": lambda: gauges.look(["default"]),
        "the scaling of workers": scaling.unfinished,
        "a run that is held back": lambda: held.hold("run2000", "its server is down"),
        "runs that are let through": lambda: held.let_through("default", 5),
        "a replay": lambda: inbox.reopen("run77"),
        "what is to be rebuilt": lambda: rebuilds.due(now, 3),
        "what expires": lambda: retention.expire(longest_kept, 10),
        "events to be deleted": lambda: inbox.delete_settled(NOON - timedelta(minutes=2 * RUNS - 100), 10),
    }
    # These have a row for each tracking server, or a handful.
    whole = re.compile(r"Seq Scan on store_(?!trackingserverstate|backfill|snapshot)")
    read_whole = [f"{name}: {plan}" for name, action in actions.items() for plan in plans(action) if whole.search(plan)]
    assert read_whole == [], "\n\n".join(read_whole)
    assert InboxEvent.objects.filter(run_id="run2000", state="warming").exists()
    assert Run.objects.filter(schema_version=None, warmed_at__isnull=False).count() == 10


TYPED = [
    "", "o", "metric.", "param.o", "param.seed = ", "param.seed = 77", "experiment = ", "name = ", "tag.",
    "tag.good = ", "status = ",
]  # fmt: skip
LISTS = [
    ("", "-announced"),
    ("", "status"),
    ("", "-name"),
    ("", "-started"),
    ("", "epochs"),
    ("", "-metric.recall"),
    ("", "metric.recall"),
    ("", "param.seed"),
    ("needle", "-announced"),
    ("nothinglikeit", "name"),
    ("name", "-announced"),
    ("param.optimizer = 1", "-announced"),
    ("param.optimizer = 1", "-metric.recall"),
    ("param.seed = 77", "-metric.recall"),
    ("metric.recall > 50", "-announced"),
    ("metric.recall > 50 and param.optimizer = 1", "name"),
    ("metric.recall > 19990", "-metric.loss"),
    ("status = failed", "-announced"),
    ("status = finished", "-metric.loss"),
    ("experiment = experiment7", "-metric.loss"),
    ("started > 2026-01-01", "-announced"),
    ("tag.good", "-metric.loss"),
    ("tags.commit = '77'", "-announced"),
    ("tags.team = '1'", "-announced"),
    ("tags.team = '1'", "-metric.loss"),
    ("parent = run7", "-announced"),
    ("run = run77", "-announced"),
    ("", "metric.loss.min"),
    ("", "-metric.recall.max"),
    ("", "metric.loss.best"),
    ("", "-metric.recall.best"),
    ("", "metric.other.best"),
    ("metric.loss.min < 5", "-announced"),
    ("metric.loss.min < 5", "-metric.recall.max"),
    ("metric.loss.min < 19000", "-announced"),
    ("metric.recall.max > 50", "metric.loss.min"),
    ("metric.recall.first > 50", "-announced"),
    ("metric.recall.count > 1", "metric.loss"),
    # Only numbers that an older version did not write, or NaN.
    ("", "metric.older.min"),
    ("", "-metric.older.max"),
    ("", "-metric.nan"),
    ("metric.nan != 5", "metric.nan.min"),
    ("name LIKE 'needle%'", "-announced"),
    ("name LIKE 'need_e'", "-metric.recall.max"),
    ("name ILIKE '%NEEDLE'", "name"),
    ("name ILIKE 'N%'", "-announced"),
    ("experiment LIKE '%nothinglikeit%'", "-announced"),
    ("metrics.loss < 5 AND params.optimizer = '1'", "-announced"),
    ("metrics.loss < 19000 AND params.optimizer = '1'", "metrics.loss ASC"),
]
UNORDERED = [
    ("", "metric.recall.first"),
    ("", "-metric.recall.first"),
    ("", "-metric.recall.count"),
    ("name LIKE 'needle%'", "metric.recall.count"),
    ("metric.recall.first < 5", "-announced"),
    ("metric.recall.count > 1000", "-announced"),
    ("param.optimizer LIKE '1%'", "-announced"),
    ("params.optimizer ILIKE '%1%'", "metric.loss"),
    ("metrics.loss.min < 19000 AND params.optimizer LIKE '1%' AND attributes.status = 'FINISHED'", "-metric.recall"),
    ("param.seed LIKE '77%'", "-announced"),
    ("param.seed ILIKE '%7_7%'", "-metric.loss"),
    ("param.seed LIKE 'nothinglikeit'", "-announced"),
]
"""Lists by what no index orders."""


@pytest.mark.usefixtures("filled")
def test_a_list_with_nested_runs_folded_is_read_by_its_index() -> None:
    """A search of three hundred nested runs is the newest of all."""
    Run.objects.filter(run_id__in=[f"run{number}" for number in range(1, 300)]).update(parent="run7050")
    some = frozenset(f"experiment{number}" for number in range(20))
    for sort, hidden in product(["-announced", "name", "-epochs", "-started"], (NOTHING, some)):
        read = partial(find, Query(), Sort.parse(sort), 20, hidden=hidden, leave_out=is_folded(hidden))
        for plan in plans(read, "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF)"):
            assert max(read_by(plan)) <= MOST_READ, f"{sort}: {plan}"
        assert not {f"run{number}" for number in range(1, 300)} & {each.run.run_id for each in read().runs}


@pytest.mark.usefixtures("filled")
def test_lists_are_read_by_their_indexes() -> None:
    """The first and the second page read few rows, for any query and sort, even if a tenth of the runs is hidden."""
    Change(tags={"good": ""}).make(["run1", "run2"], "ada", NOTHING)
    some = frozenset(f"experiment{number}" for number in range(20))
    for most, lists in ((MOST_READ, LISTS), (MOST_OF_A_KEY, UNORDERED)):
        for (query, sort), hidden in product(lists, (NOTHING, some)):
            assert_reads_at_most(most, query, sort, hidden)


def assert_reads_at_most(most: int, query: str, sort: str, hidden: frozenset[str]) -> None:
    """Both pages of the list, for a reader from whom these experiments are hidden."""
    order, cursor = Sort.parse(sort), None
    for page in ("first", "next"):
        read = partial(find, parse(query), order, 20, cursor, hidden=hidden)
        for plan in plans(read, "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF)"):
            assert max(read_by(plan)) <= most, f"{query} by {sort}, {page}: {plan}"
        cursor = read().next
        if cursor is None:
            break


@pytest.mark.usefixtures("filled")
def test_suggestions_are_read_by_their_indexes() -> None:
    """Also if half of the runs are hidden."""
    Change(tags={"good": ""}).make(["run1", "run2"], "ada", NOTHING)
    half = frozenset(f"experiment{number}" for number in range(100))
    for query, hidden in product(TYPED, (NOTHING, half)):
        known.forget()
        for plan in plans(partial(complete, query, len(query), hidden), "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF)"):
            assert max(read_by(plan), default=0) <= MOST_READ, f"{query}: {plan}"
    known.forget()


def test_compressed_columns_are_kept_as_they_are() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attrelid::regclass::text || '.' || attname FROM pg_attribute JOIN pg_class ON attrelid = oid "
            "WHERE relname LIKE 'store_%%' AND relkind = 'r' AND attstorage = 'e' ORDER BY 1"
        )
        assert [name for (name,) in cursor] == ["store_runsource.body", "store_warmentry.gzip", "store_warmentry.zstd"]


@pytest.mark.parametrize("change", ["UPDATE accounts_auditrecord SET who = 'bob'", "DELETE FROM accounts_auditrecord"])
def test_the_audit_log_is_append_only(change: str) -> None:
    AuditRecord.objects.create(who="ada", action="replay", target="run1")
    refused = pytest.raises(DatabaseError, match="the audit log is only added to")
    with refused, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(change)
    assert AuditRecord.objects.get().who == "ada"
