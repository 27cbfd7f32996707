"""The only access to warm entries: ``put`` writes a whole run, ``get`` reads one body, ``get_many`` several.

The tables hold the durable copy, Redis the hot copy (``hot.py``), and each process caches bodies for a moment
(``local.py``). Losing Redis costs milliseconds, never data: reads fall back to the tables and log a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from itertools import groupby

import redis
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, Q
from django.db.models.functions import Now

from store import searched
from store.hot import hot
from store.local import LocalCopy
from store.metrics import count_reads
from store.models import ENDED, QuickTest, Run, RunSource, WarmEntry
from warmboard.contract.entries import SCHEMA_VERSION, Body, Encoding, Entry, EntryKey, Resolution, Summary

SUMMARY = (
    *("fetched_at", "experiment_name", "name", "start_time", "newest_at", "epochs", "unit", "history_length"),
    *("pending_metrics", "digest", "parent", "params", "final_metrics", "sparkline"),
)
"""The columns of a run's row that each warming writes."""


class HotCopyError(Exception):
    """The tables were written, but not Redis, which may hold an older copy. Retry the put."""


@dataclass(frozen=True, kw_only=True)
class WarmRun:
    """Everything that one warming of a run stores.

    ``fetched_at`` is when its fetch began, by the database's clock (``store/clock.py``), ``digest`` of what MLflow said
    then. ``source`` is the run as it was fetched (``workers/history/ndjson.py`` has the format).
    """

    run_id: str
    fetched_at: datetime
    experiment_name: str
    name: str
    status: str
    start_time: datetime | None
    end_time: datetime | None
    newest_at: datetime | None
    epochs: int
    unit: str
    history_length: int
    pending_metrics: int
    digest: str
    parent: str
    params: dict[str, str]
    tags: Mapping[str, str] = field(repr=False)
    summaries: Mapping[str, Summary] = field(repr=False)
    final_metrics: dict[str, float | None]
    sparkline: list[float | None]
    entries: Mapping[EntryKey, Entry] = field(repr=False)
    source: bytes = field(repr=False)


@dataclass(frozen=True)
class Source:
    """A run as it was fetched (``workers/history/ndjson.py`` has the format), and when that fetch began."""

    body: bytes = field(repr=False)
    fetched_at: datetime


def get(key: EntryKey, encoding: Encoding) -> Body | None:
    """Get an entry's body; None if it is not warm. One look-up in Redis, and one in the table if Redis lacks it."""
    return _local().get((key, encoding), lambda: get_many([key], encoding).get(key))


def get_many(keys: Collection[EntryKey], encoding: Encoding) -> dict[EntryKey, Body]:
    """Get the bodies of those entries that are warm. One command to Redis, and one query for all that Redis lacks."""
    found = hot().read(keys, encoding)
    cold = [key for key in keys if key not in found]
    if cold:
        for run_id, warmed_at, bodies in _from_tables(cold, encoding):
            hot().heat(run_id, warmed_at, {(key, encoding): body for key, body in bodies.items()})
            found |= bodies
    count_reads("redis", len(keys) - len(cold))
    count_reads("tables", len(cold) - (len(keys) - len(found)))
    count_reads("nowhere", len(keys) - len(found))
    return found


def source(run_id: str) -> Source | None:
    """Get the run as its last warming fetched it; None if it was never warm or has expired."""
    row = RunSource.objects.filter(pk=run_id).select_related("run").first()
    if row is None:
        return None
    if row.run.fetched_at is None:
        raise ValueError(f"run {run_id} has a source but was never fetched")
    return Source(bytes(row.body), row.run.fetched_at)


def was_fetched(run_id: str) -> bool:
    """Whether the run has been stored before, even if its entries have expired since."""
    return Run.objects.filter(pk=run_id, fetched_at__isnull=False).exists()


def unchanged_since(run_id: str, source: bytes) -> datetime | None:
    """The ``cached_at`` of a run's entries if they were made of this very source; None if they must be made again."""
    key = EntryKey.history(run_id, Resolution.OVERVIEW)
    row = WarmEntry.objects.filter(
        run_id=run_id,
        name=key.name,
        resolution=key.resolution,
        run__schema_version=SCHEMA_VERSION,
        run__source__body=source,
    ).first()
    if row is None:
        return None
    entry = Entry(etag=row.etag, gzip=bytes(row.gzip), zstd=bytes(row.zstd))
    return datetime.fromisoformat(entry.decode()["cached_at"])


def put(run: WarmRun, announce: Callable[[], object] = lambda: None) -> bool:
    """Store a run's entries, source and summary in one transaction, then heat Redis.

    Of two warmings, the one with the later fetch wins, regardless of which finishes last. Returns False if a later one
    is already stored. A stored time that lies ahead is of a wrong clock, and beats none.

    ``announce`` is called first, in the transaction: it may make the run's row (``store/runs.py``). Raises
    Run.DoesNotExist if there is none, and HotCopyError if Redis is down and only the tables were written.
    """
    with transaction.atomic():
        announce()
        has_tests = Exists(QuickTest.objects.filter(mlflow_run_id=run.run_id))
        row = Run.objects.select_for_update().annotate(read_at=Now(), has_tests=has_tests).get(pk=run.run_id)
        if row.fetched_at and run.fetched_at < row.fetched_at <= row.read_at:
            return False
        searched.write(row, run.params, run.tags, run.summaries)
        is_first = row.fetched_at is None
        warmed_at = _write_summary(row, run, row.read_at)
        _write_entries(row, run.entries, is_first)
        RunSource.objects.bulk_create(
            [RunSource(run=row, body=run.source)],
            update_conflicts=True,
            unique_fields=["run"],
            update_fields=["body"],
        )
        if not run.pending_metrics:
            _write_quick_tests(run, row.has_tests)
    _local().forget(run.run_id)
    try:
        _heat(run, warmed_at)
    except redis.RedisError as error:
        raise HotCopyError(f"Redis is down, run {run.run_id} is warm in the tables only: {error}") from error
    return True


def _heat(run: WarmRun, warmed_at: datetime) -> None:
    """Write the hot copies. Raises RedisError."""
    bodies = dict(_read_first(run.entries))
    if hot().write(run.run_id, warmed_at, bodies):
        return
    if not Run.objects.filter(pk=run.run_id, warmed_at__gt=warmed_at).exists():
        # No warming of these tables: of a clock that was ahead, or of tables that were restored.
        hot().forget([run.run_id])
        hot().write(run.run_id, warmed_at, bodies)


def _write_summary(row: Run, run: WarmRun, now: datetime) -> datetime:
    """Write the run's row. Returns the time of this warming, later than all before: its hot bodies' generation."""
    row.warmed_at = max(now, row.warmed_at + timedelta(microseconds=1)) if row.warmed_at else now
    for name in SUMMARY:
        setattr(row, name, getattr(run, name))
    # The completed event may arrive before MLflow knows of the end. Only a started event resumes an ended run.
    if run.status in ENDED or row.status not in ENDED:
        row.status, row.end_time = run.status, run.end_time
    row.schema_version = SCHEMA_VERSION
    row.rebuild_attempts, row.rebuild_due_at, row.rebuild_reason = 0, None, ""
    row.save()
    return row.warmed_at


def _write_entries(row: Run, entries: Mapping[EntryKey, Entry], is_first: bool) -> None:
    """Replace the run's entries in two statements; on SQLite, which limits parameters, one more per hundred entries.
    If they are its first, they replace none.
    """
    rows = WarmEntry.objects.bulk_create(
        [
            WarmEntry(
                run=row, name=key.name, resolution=key.resolution, etag=entry.etag, gzip=entry.gzip, zstd=entry.zstd
            )
            for key, entry in entries.items()
        ],
        update_conflicts=True,
        unique_fields=["run", "name", "resolution"],
        update_fields=["etag", "gzip", "zstd"],
    )
    if not is_first:
        WarmEntry.objects.filter(run=row).exclude(pk__in=[entry.pk for entry in rows]).delete()


def _write_quick_tests(run: WarmRun, has_tests: bool) -> None:
    """Give the whole history to the run's quick tests. Most runs have none, and decoding is slow."""
    overview = run.entries[EntryKey.history(run.run_id, Resolution.OVERVIEW)]
    if has_tests:
        tests = QuickTest.objects.filter(mlflow_run_id=run.run_id)
        tests.update(mlflow_experiment_name=run.experiment_name, training_history_json=overview.decode())


def _read_first(entries: Mapping[EntryKey, Entry]) -> Iterator[tuple[tuple[EntryKey, Encoding], Body]]:
    """The bodies that pages read first: overviews and the full history.

    The others, most of the bytes, become hot when they are first read from the table.
    """
    for key, entry in entries.items():
        overview = key.resolution is Resolution.OVERVIEW and not key.name.startswith("metric-chunk-")
        if overview or key.name == "history":
            for encoding in Encoding:
                yield (key, encoding), entry.body(encoding)


def _from_tables(keys: Iterable[EntryKey], encoding: Encoding) -> Iterator[tuple[str, datetime, dict[EntryKey, Body]]]:
    """Yield each run's ID, the time of its warming, and its bodies. One query."""
    runs_by_kind: dict[tuple[str, Resolution], list[str]] = {}
    for key in keys:
        runs_by_kind.setdefault((key.name, key.resolution), []).append(key.run_id)
    wanted = Q()
    for (name, resolution), run_ids in runs_by_kind.items():
        wanted |= Q(name=name, resolution=resolution, run_id__in=run_ids)
    rows = (
        WarmEntry.objects.filter(wanted, run__schema_version=SCHEMA_VERSION)
        .order_by("run_id")
        .values_list("run_id", "run__warmed_at", "name", "resolution", "etag", encoding.value)
    )
    for (run_id, warmed_at), of_run in groupby(rows, lambda row: row[:2]):
        yield (
            run_id,
            warmed_at,
            {
                EntryKey(run_id, name, Resolution(resolution)): Body(bytes(data), etag)
                for _, _, name, resolution, etag, data in of_run
            },
        )


@cache
def _local() -> LocalCopy:
    return LocalCopy(settings.LOCAL_CACHE_MEGABYTES)
