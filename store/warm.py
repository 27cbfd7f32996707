"""The one door to warm entries: ``put`` writes a whole run, ``get`` reads one finished body.

The tables hold the durable copy, Redis the hot one. Losing Redis costs milliseconds, never data: a read falls back to
its table and says so in the log. A hot value carries its generation, the time of the fetch behind it. It gives way only
to its own or a later one, in whatever order writers and readers get there.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

import redis
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from contract.entries import SCHEMA_VERSION, Entry, EntryKey, Resolution
from store.models import QuickTest, Run, WarmEntry

log = logging.getLogger(__name__)
ETAG_LENGTH = 32
GENERATION_LENGTH = 20
SET_UNLESS_OLDER = """
if redis.call('GETRANGE', KEYS[1], 0, #ARGV[1] - 1) <= ARGV[1] then
    redis.call('SET', KEYS[1], ARGV[1] .. ARGV[2], 'EX', ARGV[3])
end
"""


class HotCopyError(Exception):
    """The run is in its tables, but Redis could not be told and may hold an older copy: put it again."""


@dataclass(frozen=True, kw_only=True)
class WarmRun:
    """Everything that one warming of a run stores. ``fetched_at`` is when its fetch began."""

    run_id: str
    fetched_at: datetime
    experiment_name: str
    name: str
    status: str
    start_time: datetime | None
    end_time: datetime | None
    epochs: int
    params: dict[str, str]
    final_metrics: dict[str, float | None]
    sparkline: list[float | None]
    entries: Mapping[EntryKey, Entry] = field(repr=False)


def get(key: EntryKey) -> Entry | None:
    """The entry, or None when it is not warm. One look-up in Redis; the table if Redis has it not."""
    try:
        if hot := _redis().get(str(key)):
            return _unpack(hot)
    except redis.RedisError as error:
        log.warning("Redis is away, reading %s from its table: %s", key, error)
        row = _from_table(key)
        return row.entry if row else None
    row = _from_table(key)
    if row is None:
        return None
    try:
        _heat({key: row.entry}, row.generation)
    except redis.RedisError as error:
        log.warning("Redis is away, %s stays cold: %s", key, error)
    return row.entry


def put(run: WarmRun) -> bool:
    """Stores a run's entries and summary in one transaction, then heats Redis.

    Of two warmings the later fetch wins, whichever finishes last. Returns False when a later one was already there.
    The run must have been announced (``Run`` exists). Raises HotCopyError when the tables were written and Redis not.
    """
    with transaction.atomic():
        row = Run.objects.select_for_update().get(pk=run.run_id)
        if row.fetched_at and row.fetched_at > run.fetched_at:
            return False
        row.fetched_at = run.fetched_at
        row.warmed_at = timezone.now()
        for name in ("experiment_name", "name", "status", "start_time", "end_time", "epochs", "params"):
            setattr(row, name, getattr(run, name))
        row.final_metrics, row.sparkline = run.final_metrics, run.sparkline
        row.save()
        dropped = _replace_entries(row, run.entries)
        overview = run.entries[EntryKey.history(run.run_id, Resolution.OVERVIEW)]
        QuickTest.objects.filter(mlflow_run_id=run.run_id).update(
            mlflow_experiment_name=run.experiment_name, training_history_json=overview.decode()
        )
    try:
        if dropped:
            _redis().delete(*map(str, dropped))
        _heat(run.entries, _generation(run.fetched_at))
    except redis.RedisError as error:
        raise HotCopyError(f"Redis is away, run {run.run_id} is warm in its tables only: {error}") from error
    return True


def _replace_entries(row: Run, entries: Mapping[EntryKey, Entry]) -> set[EntryKey]:
    """Writes the run's rows anew; returns the keys that are no more."""
    before = WarmEntry.objects.filter(run=row)
    keys = {EntryKey(row.pk, name, Resolution(res)) for name, res in before.values_list("name", "resolution")}
    before.delete()
    WarmEntry.objects.bulk_create(
        WarmEntry(
            run=row,
            name=key.name,
            resolution=key.resolution,
            schema_version=SCHEMA_VERSION,
            etag=entry.etag,
            body=entry.body,
        )
        for key, entry in entries.items()
    )
    return keys - entries.keys()


@dataclass(frozen=True)
class _Row:
    entry: Entry
    generation: bytes


def _from_table(key: EntryKey) -> _Row | None:
    found = (
        WarmEntry.objects.filter(
            run_id=key.run_id, name=key.name, resolution=key.resolution, schema_version=SCHEMA_VERSION
        )
        .values_list("body", "etag", "run__fetched_at")
        .first()
    )
    if found is None:
        return None
    body, etag, fetched_at = found
    if fetched_at is None:
        raise ValueError(f"run {key.run_id} has entries but was never fetched")
    return _Row(Entry(body=bytes(body), etag=etag), _generation(fetched_at))


def _heat(entries: Mapping[EntryKey, Entry], generation: bytes) -> None:
    with _redis().pipeline(transaction=False) as pipeline:
        for key, entry in entries.items():
            pipeline.eval(
                SET_UNLESS_OLDER, 1, str(key), generation, entry.etag.encode() + entry.body, settings.HOT_SECONDS
            )
        pipeline.execute()


def _generation(fetched_at: datetime) -> bytes:
    """Microseconds since 1970 in so many digits that they sort as text."""
    return b"%0*d" % (GENERATION_LENGTH, round(fetched_at.timestamp() * 1_000_000))


def _unpack(hot: bytes) -> Entry:
    etag_end = GENERATION_LENGTH + ETAG_LENGTH
    return Entry(body=hot[etag_end:], etag=hot[GENERATION_LENGTH:etag_end].decode())


@cache
def _redis() -> Any:
    """One pool a process. redis-py's types leave open whether it is the asynchronous client."""
    return redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=0.5, socket_timeout=1)
