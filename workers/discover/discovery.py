"""Finds runs that no event announced, in MLflow and by the files that trainers left, and what has changed in runs since
they were fetched. ``python -m workers discover``.

A finding becomes an event in the inbox, with the sweep as its source and an ID derived from the fact: finding it twice
changes nothing. From then on it is handled like any event.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerError

from store.models import InboxEvent
from store.runs import mark_deleted
from warmboard.contract.events import SWEEP_SOURCE, EventType, RunEvent
from workers import inbox
from workers.discover.files import FilesLook
from workers.discover.mlflow import MlflowLook
from workers.discover.news import Fact, news
from workers.discover.throttle import SHARE
from workers.errors import WarmError
from workers.fetch.server import TrackingServer
from workers.inbox import Message, State
from workers.servers import gate
from workers.servers.outage import outage_of
from workers.settings import Settings

log = logging.getLogger(__name__)
LEAST_PAUSE = 5.0
"""Between two turns, in seconds, however soon something settles; longer if turns take long (``throttle.SHARE``)."""
OUTSTANDING = 300
"""The max number of unfinished events of the sweep; further findings wait for the next turns."""
SAYS = {
    EventType.STARTED: "has started, but no event announced it",
    EventType.PROGRESSED: "is in progress, but no event announced it",
    EventType.COMPLETED: "has ended, but no event announced it",
    EventType.CHANGED: "has changed in MLflow since it was fetched",
}


class Look(Protocol):
    """A place to search for runs. ``look`` raises WarmError if the place is down. ``server`` is None if the place is no
    tracking server.
    """

    place: str

    @property
    def server(self) -> TrackingServer | None: ...

    def look(self, now: datetime) -> Iterator[list[Fact]]: ...


@dataclass
class Report:
    """What one turn found: runs ``deleted`` and ``restored``, reasons of what is ``unreadable``, and in ``down`` the
    reason of each place that can't be searched. ``settles_at`` is when the first of those is due that were left to
    their own events.
    """

    events: list[RunEvent] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    down: dict[str, str] = field(default_factory=dict)
    settles_at: datetime | None = None
    took: float = 0.0
    """The seconds that the turn took."""
    more: bool = False

    def pause(self, seconds: float, now: datetime) -> float:
        """The seconds until the next turn, at most ``seconds``: earlier if something settles before that."""
        if self.settles_at is None:
            return seconds
        return min(seconds, max(LEAST_PAUSE, SHARE * self.took, (self.settles_at - now).total_seconds()))

    def __str__(self) -> str:
        count = Counter(event.type for event in self.events)
        found = f"unannounced runs: {count[EventType.COMPLETED]:,} ended, {count[EventType.PROGRESSED]:,} in progress"
        others = {
            "changed": count[EventType.CHANGED],
            "deleted": len(self.deleted),
            "restored": len(self.restored),
            "unreadable": len(self.unreadable),
        }
        told = "".join(f"; {what}: {number:,}" for what, number in others.items() if number)
        down = f"; down: {', '.join(self.down)}" if self.down else ""
        return f"{found}{told}{down}{'; more at the next turn' if self.more else ''}"


class Discovery:
    """Searches several places, turn by turn. ``dispatch`` queues the warming of a run; if it raises kombu's
    OperationalError, the sweep of the inbox queues the run later.
    """

    def __init__(self, looks: Sequence[Look], dispatch: Callable[[str], None]) -> None:
        self._looks = looks
        self._dispatch = dispatch
        self._down: set[str] = set()

    @classmethod
    def of(cls, settings: Settings, dispatch: Callable[[str], None]) -> Discovery:
        """Search every configured server, the one at MLFLOW_TRACKING_URI first, and OUTPUT_URI."""
        servers = sorted(settings.tracking_servers.values(), key=lambda server: server.name != settings.tracking_server)
        looks: list[Look] = [
            MlflowLook(server, settings.discover_days, limits=settings.fetch_limits) for server in servers
        ]
        return cls([*looks, FilesLook.of(settings)], dispatch)

    def turn(self, now: datetime | None = None, *, dry_run: bool = False) -> Report:
        """Search every place once, also if another is down. A tracking server that is known to be down is not asked:
        beat does that already. ``dry_run`` only reports.

        Raises DatabaseError.
        """
        report, began = Report(), time.monotonic()
        for look in self._looks:
            before = len(report.events)
            try:
                self._look(look, now or timezone.now(), report, dry_run)
            except WarmError as error:
                outage = None if dry_run else outage_of(error, look.server)
                report.down[look.place] = outage.reason if outage else str(error)
            self._log_down(look.place, report)
            if not dry_run:
                self._dispatch_all(report.events[before:])
        report.took = time.monotonic() - began
        return report

    def _look(self, look: Look, now: datetime, report: Report, dry_run: bool) -> None:
        if look.server and (down := gate.is_down(look.server.name)):
            report.down[look.place] = down
            return
        room = OUTSTANDING - inbox.unfinished(SWEEP_SOURCE)
        for facts in look.look(now):
            if not dry_run:
                _note_deleted(facts, now, report)
            for fact in news(facts, now):
                if fact.settles_at > now:
                    report.settles_at = min(report.settles_at or fact.settles_at, fact.settles_at)
                    continue
                if room <= 0:
                    report.more = True
                    # A look finds again what was not taken from it.
                    return
                if dry_run:
                    _report(fact.event, fact.reason, report)
                    room -= 1
                elif row := record(fact):
                    # The inbox may keep an event as unreadable.
                    _report(fact.event if row.state == State.PENDING else None, row.reason, report)
                    room -= 1

    def _dispatch_all(self, events: Sequence[RunEvent]) -> None:
        try:
            for run_id in dict.fromkeys(event.run_id for event in events):
                self._dispatch(run_id)
        except BrokerError as error:
            log.error("Redis is down, the sweep will queue the found runs: %s", error)

    def _log_down(self, place: str, report: Report) -> None:
        """Log once when a place is down, and once when it is back."""
        if place in report.down and place not in self._down:
            log.error("%s can't be searched for runs, retrying at every turn: %s", place, report.down[place])
            self._down.add(place)
        elif place not in report.down and place in self._down:
            log.warning("%s can be searched again", place)
            self._down.remove(place)


def _note_deleted(facts: Sequence[Fact], now: datetime, report: Report) -> None:
    """Deletion and restoration need no fetch: the run's row says it."""
    described = [fact for fact in facts if fact.digest and fact.event]
    deleted = {fact.event.run_id for fact in described if fact.event and fact.deleted}
    there = {fact.event.run_id for fact in described if fact.event and not fact.deleted}
    for found, ids, what in zip(
        (report.deleted, report.restored), mark_deleted(deleted, there, now), ("deleted", "restored"), strict=True
    ):
        found += ids
        for run_id in ids:
            log.info("run %s was %s in MLflow", run_id, what, extra={"run_id": run_id})


def record(fact: Fact) -> InboxEvent | None:
    """Record the fact in the inbox; returns its row, None if it was there already."""
    now = timezone.now()
    if fact.event is None:
        return inbox.record_unreadable(Message(fact.key, fact.data, dict(fact.attributes), now), fact.reason)
    data, attributes = fact.event.encode()
    return inbox.record(Message(fact.key, data, attributes, now))


def _report(event: RunEvent | None, reason: str, report: Report) -> None:
    if event is None:
        report.unreadable.append(reason)
        log.error("kept an unreadable finding: %s", reason)
    else:
        report.events.append(event)
        log.info("run %s %s", event.run_id, SAYS[event.type], extra={"run_id": event.run_id, "event_id": event.id})
