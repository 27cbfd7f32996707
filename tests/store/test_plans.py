"""On PostgreSQL, with as many rows as make a difference, no query that is asked often reads a whole table."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from contract.entries import SCHEMA_VERSION, Encoding, EntryKey, Resolution
from contract.replay import Selection
from store import retention, warm
from store.models import InboxEvent, Run
from store.selection import selected
from store.state import run_state
from tests.store.samples import NOON, warm_run
from webapp.accounts.models import AuditRecord
from webapp.operations.inbox import Overview
from webapp.operations.parameters import Filter
from webapp.runs import Cursor, Summary, page
from workers import inbox, rebuilds, replay

RUNS = 20_000
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
ANALYZE;
"""  # noqa: S608, E501  numbers of ours


@pytest.fixture
def filled() -> None:
    with connection.cursor() as cursor:
        cursor.execute(FILL)


def plans(action: Callable[[], object]) -> list[str]:
    """How PostgreSQL goes about each statement of the action."""
    with CaptureQueriesContext(connection) as queries:
        action()
    found = []
    for query in queries:
        if query["sql"].startswith(("SELECT", "UPDATE", "DELETE")):
            with connection.cursor() as cursor:
                cursor.execute("EXPLAIN " + query["sql"].replace("%", "%%"))
                found.append("\n".join([query["sql"][:300], *(line for (line,) in cursor)]))
    return found


@pytest.mark.usefixtures("filled")
def test_hot_queries_use_indexes() -> None:
    now, longest_kept = timezone.now(), NOON - timedelta(minutes=RUNS - 100)
    keys = [EntryKey.history(f"run{number}", Resolution.FULL) for number in range(1, 50)]
    actions: dict[str, Callable[[], object]] = {
        "the newest runs": lambda: page(50, None),
        "the runs after those": lambda: page(50, Cursor(NOON - timedelta(days=7), "run1")),
        "an experiment's runs": lambda: list(
            Run.objects.filter(experiment_name="experiment7").order_by("-announced_at", "-run_id")[:50]
        ),
        "one run": lambda: Summary.find("run77"),
        "a run's state": lambda: run_state("run77"),
        "events that failed": lambda: list(InboxEvent.objects.filter(state="failed").order_by("-received_at")[:50]),
        "bodies of many runs": lambda: warm.get_many(keys, Encoding.ZSTD),
        "put": lambda: warm.put(warm_run("first", run_id="run77", minutes=1)),
        "operations": lambda: Overview.find(Filter()),
        "operations, all events": lambda: Overview.find(Filter(state="all")),
        "runs that failed": lambda: list(selected(Selection(failed=True))[:100]),
        "runs of a time": lambda: list(
            selected(Selection(failed=True, since=NOON - timedelta(days=3), until=NOON))[:100]
        ),
        "replay requests that are due": lambda: replay.due(now),
        "what is due": lambda: inbox.due(now),
        "what waits": inbox.pending,
        "a worker that starts": lambda: inbox.release("w1"),
        "a claim": lambda: inbox.claim("run2000", "w1"),
        "what waits of a run": lambda: inbox.waits("run2000"),
        "a replay": lambda: inbox.reopen("run77"),
        "what is to be rebuilt": lambda: rebuilds.hand_out(now, 3),
        "what expires": lambda: retention.expire(longest_kept, 10),
        "events to be deleted": lambda: inbox.delete_settled(NOON - timedelta(minutes=2 * RUNS - 100), 10),
    }
    read_whole = [
        f"{name}: {plan}" for name, action in actions.items() for plan in plans(action) if "Seq Scan on store_" in plan
    ]
    assert read_whole == [], "\n\n".join(read_whole)
    assert InboxEvent.objects.filter(run_id="run2000", state="warming").exists()
    assert Run.objects.filter(schema_version=None, warmed_at__isnull=False).count() == 10


def test_compressed_columns_are_kept_as_they_are() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attrelid::regclass::text || '.' || attname FROM pg_attribute JOIN pg_class ON attrelid = oid "
            "WHERE relname LIKE 'store_%%' AND relkind = 'r' AND attstorage = 'e' ORDER BY 1"
        )
        assert [name for (name,) in cursor] == ["store_runsource.body", "store_warmentry.gzip", "store_warmentry.zstd"]


@pytest.mark.parametrize("change", ["UPDATE accounts_auditrecord SET who = 'bob'", "DELETE FROM accounts_auditrecord"])
def test_the_audit_log_is_only_added_to_whoever_tries(change: str) -> None:
    AuditRecord.objects.create(who="ada", action="replay", target="run1")
    refused = pytest.raises(DatabaseError, match="the audit log is only added to")
    with refused, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(change)
    assert AuditRecord.objects.get().who == "ada"
