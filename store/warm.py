"""The one door to warm entries: ``put`` writes a whole run, ``get`` reads one finished body.

The tables hold the durable copy, Redis the hot one. Losing Redis costs milliseconds, never data: a read falls back to
its table and says so in the log.
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
        return _from_table(key)
    entry = _from_table(key)
    if entry:
        # Only where there is none: a worker may have written a newer one since the table was read.
        _heat({key: entry}, only_missing=True)
    return entry


def put(run: WarmRun) -> bool:
    """Stores a run's entries and summary in one transaction, then heats Redis.

    Of two warmings the later fetch wins, whichever finishes last. Returns False when a later one was already there.
    The run must have been announced (``Run`` exists).
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
    _cool(dropped)
    _heat(run.entries)
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


def _from_table(key: EntryKey) -> Entry | None:
    row = (
        WarmEntry.objects.filter(
            run_id=key.run_id, name=key.name, resolution=key.resolution, schema_version=SCHEMA_VERSION
        )
        .values_list("body", "etag")
        .first()
    )
    return Entry(body=bytes(row[0]), etag=row[1]) if row else None


def _heat(entries: Mapping[EntryKey, Entry], *, only_missing: bool = False) -> None:
    try:
        with _redis().pipeline(transaction=False) as pipeline:
            for key, entry in entries.items():
                pipeline.set(str(key), entry.etag.encode() + entry.body, ex=settings.HOT_SECONDS, nx=only_missing)
            pipeline.execute()
    except redis.RedisError as error:
        log.warning("Redis is away, %d entries are warm in their tables only: %s", len(entries), error)


def _cool(keys: set[EntryKey]) -> None:
    try:
        if keys:
            _redis().delete(*map(str, keys))
    except redis.RedisError as error:
        log.warning("Redis is away, %d dropped entries stay hot until they expire: %s", len(keys), error)


def _unpack(hot: bytes) -> Entry:
    return Entry(body=hot[ETAG_LENGTH:], etag=hot[:ETAG_LENGTH].decode())


@cache
def _redis() -> Any:
    """One pool a process. redis-py's types leave open whether it is the asynchronous client."""
    return redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=0.5, socket_timeout=1)
