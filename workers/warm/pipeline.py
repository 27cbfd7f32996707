"""Fetch → sample → store: how one run is warmed, for events, rebuilds and the command line."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial

from django.utils import timezone

from store import clock
from store import warm as door
from store.runs import make_row
from warmboard.contract.entries import Entry, EntryKey
from workers import tracing
from workers.documents.run import RunDocuments
from workers.documents.sample import Sampling
from workers.fetch.fetcher import Fetcher, Limits, TrackingServer
from workers.fetch.stock import ODD
from workers.history.digest import digest_of
from workers.history.fetched import FetchedRun
from workers.history.ndjson import NotWholeError, read_run, write_run
from workers.settings import Settings

log = logging.getLogger(__name__)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Warmed:
    """The outcome of warming one run. ``size`` is the number of bytes of its bodies, compressed with zstd."""

    run_id: str
    stored: bool
    metrics: int
    epochs: int
    size: int
    seconds: float

    def __str__(self) -> str:
        if not self.stored:
            return f"skipped: a later fetch of run {self.run_id} is already stored"
        return f"warm: {self.metrics} metrics, {self.epochs} epochs, {self.size:,} bytes in {self.seconds:.2f} s"


def warm_from(
    server: TrackingServer,
    run_id: str,
    settings: Settings,
    *,
    incremental: bool = False,
    alive: Callable[[], None] = lambda: None,
) -> Warmed:
    """Fetch the run and store it. ``incremental`` fetches only what the store lacks, for runs in progress. ``alive`` is
    called often during the fetch. If it takes long, and the run was never fetched before, its first charts are stored
    as soon as they are there.

    Raises TransientError, PermanentError, and the errors of ``store.warm.put``.
    """
    begin, fetched_at = time.monotonic(), clock.now()
    kept = _read(run_id, door.source(run_id)) if incremental else None

    def store(run: FetchedRun) -> Warmed:
        # `python -m workers warm` takes runs that no event has announced.
        announce = partial(
            make_row,
            run_id,
            tracking_server=server.name,
            experiment_name=run.experiment_name,
            status=run.status,
            time=next((time for time in (run.end_time, run.start_time) if time and time > EPOCH), None),
        )
        return _store(run, fetched_at, settings, begin, announce)

    def store_first(run: FetchedRun) -> None:
        # Never in place of more: what is there already is a whole run, or the same first charts.
        if door.was_fetched(run_id):
            return
        try:
            log.info("run %s: first charts %s", run_id, store(run))
        except ODD:
            # A fault of ours, not of the server's answer: the whole run will show it, or do without.
            log.exception("run %s has no first charts", run_id)

    with tracing.span("fetch", server=server.name):
        run = fetcher(server, settings).fetch(run_id, kept=kept, alive=alive, first_charts=store_first)
    return store(run)


def rebuild_from_source(run_id: str, settings: Settings, *, in_part: bool = False) -> Warmed | None:
    """Make a run's entries again from the source of its last fetch; None if the store has no readable source.
    ``in_part``: also from one of an older version that left points out.
    """
    begin = time.monotonic()
    source = door.source(run_id)
    run = _read(run_id, source, in_part=in_part)
    return _store(run, source.fetched_at, settings, begin) if source and run else None


def _read(run_id: str, source: door.Source | None, *, in_part: bool = False) -> FetchedRun | None:
    if source is None:
        return None
    try:
        return read_run(source.body, in_part=in_part)
    except NotWholeError as error:
        log.error("the stored source of run %s can't be read, fetching the whole run: %s", run_id, error)
        return None


def _store(
    run: FetchedRun,
    fetched_at: datetime,
    settings: Settings,
    begin: float,
    announce: Callable[[], object] = lambda: None,
) -> Warmed:
    run = run.printable()
    sampling = Sampling(settings.epoch_sample_interval, settings.overview_points)
    source = write_run(run)
    # A run that has not changed keeps its bodies and ETags to the byte, however often it is replayed.
    since = door.unchanged_since(run.run_id, source) if door.was_fetched(run.run_id) else None
    documents = RunDocuments(run, sampling, since or timezone.now())
    with tracing.span("encode", metrics=len(run.points)):
        entries = documents.entries()
    with tracing.span("store", entries=len(entries)):
        stored = door.put(_warm_run(run, documents, entries, source, fetched_at), announce)
    return Warmed(
        run_id=run.run_id,
        stored=stored,
        metrics=len(run.points),
        epochs=documents.length,
        size=sum(len(entry.zstd) for entry in entries.values()),
        seconds=time.monotonic() - begin,
    )


def _warm_run(
    run: FetchedRun,
    documents: RunDocuments,
    entries: Mapping[EntryKey, Entry],
    source: bytes,
    fetched_at: datetime,
) -> door.WarmRun:
    return door.WarmRun(
        run_id=run.run_id,
        fetched_at=fetched_at,
        experiment_name=run.experiment_name,
        name=run.name,
        status=run.status,
        start_time=run.start_time,
        end_time=run.end_time,
        newest_at=run.newest_at,
        epochs=documents.length,
        unit=documents.unit,
        history_length=len(documents.epochs),
        pending_metrics=run.pending,
        digest=digest_of(run),
        parent=documents.parent,
        params=dict(run.params),
        tags=run.tags,
        summaries=documents.summary,
        final_metrics=documents.summary_metrics,
        sparkline=documents.sparkline(),
        entries=entries,
        source=source,
    )


def fetcher(server: TrackingServer, settings: Settings) -> Fetcher:
    """One connection pool per tracking server and process."""
    return _fetcher(server, settings.fetch_concurrency, settings.fetch_limits)


@cache
def _fetcher(server: TrackingServer, concurrency: int, limits: Limits) -> Fetcher:
    return Fetcher(server, concurrency=concurrency, limits=limits)
