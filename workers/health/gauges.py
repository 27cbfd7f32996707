"""What one process tells Prometheus of the database: the inbox, runs that are held back, tracking servers.

Counts are bounded; the ages read at most the unfinished events. A scrape waits WAIT_SECONDS at most, and those within
FRESH_SECONDS share one look: neither many scrapes nor a slow database add up.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import Error, connection
from django.db.models import QuerySet

from store import clock
from store.models import InboxEvent
from workers.counts import UNKNOWN
from workers.inbox import REQUESTS, State
from workers.servers import gate, held

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from prometheus_client.metrics_core import GaugeMetricFamily

FRESH_SECONDS, WAIT_SECONDS = 5.0, 3.0
MOST_ROWS = 50_000
"""As far as rows are counted."""
SERVER_STATES = ("up", "down", "back")


@dataclass(frozen=True)
class Seen:
    """One look at the database. Ages are in seconds, 0 if there is no such event."""

    rows: Mapping[str, int]
    queue_age: float
    oldest_unfinished: float
    held_back: Mapping[str, int]
    servers: Mapping[str, str]


def look(servers: Collection[str]) -> Seen:
    """Look at the database; ``servers`` are the configured ones. Raises Django's database errors."""
    now, events = clock.now(), InboxEvent.objects.all()
    of_runs = events.exclude(type__in=REQUESTS)
    pending, warming = of_runs.filter(state=State.PENDING), of_runs.filter(state=State.WARMING)
    due = pending.filter(due_at__isnull=False)
    rows = {
        "pending": due,
        "held_back": pending.filter(due_at__isnull=True),
        "warming": warming,
        "failed": events.filter(state=State.FAILED),
        "unreadable": events.filter(state=State.UNREADABLE),
    }
    new = max(_age(found.filter(done_at__isnull=True), now) for found in (pending, warming))
    states = gate.states()
    return Seen(
        rows={state: found[:MOST_ROWS].count() for state, found in rows.items()},
        # One that a replay or a seek has brought again arrived long ago.
        queue_age=_age(due.filter(claims=0), now),
        oldest_unfinished=new,
        held_back=_of_configured(held.by_server(), servers),
        servers={name: ("down" if states[name] else "back") if name in states else "up" for name in servers},
    )


class DatabaseGauges:
    """A collector of prometheus_client's, for one process that knows the configured tracking servers."""

    def __init__(self, servers: Collection[str]) -> None:
        self._servers = servers
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._seen: Seen | None = None
        self._looked_at = 0.0

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges. Without an answer of the database in time, only that there is none."""
        thread = self._looking()
        thread.join(WAIT_SECONDS)
        seen = None if thread.is_alive() else self._seen
        yield _gauge("warmboard_database_up", "Whether the database answered.", [], {(): float(seen is not None)})
        if seen:
            yield from _gauges(seen)

    def _looking(self) -> threading.Thread:
        """The last look at the database, in its thread. It is a new one if that has ended and is old."""
        with self._lock:
            if self._thread is None or (not self._thread.is_alive() and self._age() > FRESH_SECONDS):
                self._thread = threading.Thread(target=self._look, name="gauges", daemon=True)
                self._thread.start()
            return self._thread

    def _age(self) -> float:
        return time.monotonic() - self._looked_at

    def _look(self) -> None:
        seen = None
        try:
            seen = look(self._servers)
        except Error as error:
            log.warning("no metrics of the database: %s", error)
        finally:
            self._seen, self._looked_at = seen, time.monotonic()
            # Django keeps a connection for each thread.
            connection.close()


def _gauges(seen: Seen) -> Iterator[GaugeMetricFamily]:
    rows = {(state,): float(count) for state, count in seen.rows.items()}
    held_back = {(name,): float(count) for name, count in seen.held_back.items()}
    states = {(name, state): float(state == now) for name, now in seen.servers.items() for state in SERVER_STATES}
    age, oldest = {(): seen.queue_age}, {(): seen.oldest_unfinished}
    yield _gauge("warmboard_inbox_rows", "Of the inbox, by state.", ["state"], rows)
    yield _gauge("warmboard_inbox_queue_age_seconds", "Of the oldest event that no worker has taken yet.", [], age)
    yield _gauge("warmboard_inbox_oldest_unfinished_seconds", "Of the oldest event not done yet.", [], oldest)
    yield _gauge("warmboard_runs_held_back", "Runs that wait for their tracking server.", ["server"], held_back)
    yield _gauge("warmboard_tracking_server_state", "1 for the state that it is in.", ["server", "state"], states)


def _gauge(name: str, about: str, labels: list[str], values: Mapping[Any, float]) -> GaugeMetricFamily:
    from prometheus_client.metrics_core import GaugeMetricFamily

    family = GaugeMetricFamily(name, about, labels=labels)
    for given, value in values.items():
        family.add_metric(given, value)
    return family


def _age(events: QuerySet[InboxEvent], now: datetime) -> float:
    oldest = events.order_by("received_at").values_list("received_at", flat=True).first()
    return max(0.0, (now - oldest).total_seconds()) if oldest else 0.0


def _of_configured(counted: Mapping[str, int], servers: Collection[str]) -> dict[str, int]:
    found = dict.fromkeys(servers, 0)
    for name, count in counted.items():
        known = name if name in servers else UNKNOWN
        found[known] = found.get(known, 0) + count
    return found
