"""Finds runs that no event announced: in MLflow, and by the files that trainers left. ``python -m workers discover``.

What is found becomes an event in the inbox, under a source of the sweep's own, with an ID that follows from the fact:
finding it twice changes nothing. From there on it goes the way of all events.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerError

from store.models import InboxEvent
from warmboard.contract.events import EventType, RunEvent
from workers import inbox
from workers.discover.files import FilesLook
from workers.discover.mlflow import MlflowLook
from workers.discover.news import Fact, news
from workers.errors import WarmError
from workers.inbox import SWEEP_SOURCE, Message, State
from workers.settings import Settings

log = logging.getLogger(__name__)
OUTSTANDING = 300
"""So many of the sweep's events are unfinished at a time; what else there is waits for the next turns."""
SAYS = {EventType.STARTED: "has begun", EventType.PROGRESSED: "goes on", EventType.COMPLETED: "has ended"}


class Look(Protocol):
    """A way to look at one place. ``look`` raises WarmError when the place is away."""

    place: str

    def look(self, now: datetime) -> Iterator[list[Fact]]: ...


@dataclass
class Report:
    """What a turn found that nobody had told. ``away`` has the reason for each place that could not be looked at."""

    events: list[RunEvent] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    away: dict[str, str] = field(default_factory=dict)
    more: bool = False

    def __str__(self) -> str:
        ended = sum(event.type == EventType.COMPLETED for event in self.events)
        told = f"{ended:,} ended and {len(self.events) - ended:,} going on that nobody announced"
        unreadable = f"; unreadable: {len(self.unreadable):,}" if self.unreadable else ""
        away = f"; away: {', '.join(self.away)}" if self.away else ""
        return f"runs: {told}{unreadable}{away}{'; more at the next turn' if self.more else ''}"


class Discovery:
    """Looks at several places, turn by turn. ``dispatch`` queues the warming of a run; it may raise kombu's
    OperationalError, and the sweep of the inbox makes up for it.
    """

    def __init__(self, looks: Sequence[Look], dispatch: Callable[[str], None]) -> None:
        self._looks = looks
        self._dispatch = dispatch
        self._away: set[str] = set()

    @classmethod
    def of(cls, settings: Settings, dispatch: Callable[[str], None]) -> Discovery:
        """At every configured server, the one at MLFLOW_TRACKING_URI first, and at OUTPUT_URI."""
        servers = sorted(settings.tracking_servers.values(), key=lambda server: server.name != settings.tracking_server)
        looks: list[Look] = [MlflowLook(server, settings.discover_days) for server in servers]
        return cls([*looks, FilesLook.of(settings)], dispatch)

    def turn(self, now: datetime | None = None, *, dry_run: bool = False) -> Report:
        """Looks at every place once; one that is away does not keep it from the others. ``dry_run`` only tells.

        Raises DatabaseError.
        """
        report = Report()
        for look in self._looks:
            before = len(report.events)
            try:
                self._look(look, now or timezone.now(), report, dry_run)
            except WarmError as error:
                report.away[look.place] = str(error)
            self._say_who_is_away(look.place, report)
            if not dry_run:
                self._dispatch_all(report.events[before:])
        return report

    def _look(self, look: Look, now: datetime, report: Report, dry_run: bool) -> None:
        room = OUTSTANDING - inbox.unfinished(SWEEP_SOURCE)
        for facts in look.look(now):
            for fact in news(facts, now):
                if room <= 0:
                    report.more = True
                    # What a look has not been asked on for, it tells again.
                    return
                if dry_run:
                    _tell(fact.event, fact.reason, report)
                    room -= 1
                elif row := _record(fact):
                    # What the inbox can't take as an event is unreadable, too.
                    _tell(fact.event if row.state == State.PENDING else None, row.reason, report)
                    room -= 1

    def _dispatch_all(self, events: Sequence[RunEvent]) -> None:
        try:
            for run_id in dict.fromkeys(event.run_id for event in events):
                self._dispatch(run_id)
        except BrokerError as error:
            log.error("Redis is away, what was found waits for the sweep of the inbox: %s", error)

    def _say_who_is_away(self, place: str, report: Report) -> None:
        """Once when it goes away, and once when it is back."""
        if place in report.away and place not in self._away:
            log.error("%s can't be searched for runs, it is tried again at every turn: %s", place, report.away[place])
            self._away.add(place)
        elif place not in report.away and place in self._away:
            log.warning("%s can be searched again", place)
            self._away.remove(place)


def _record(fact: Fact) -> InboxEvent | None:
    """The new row in the inbox; None if the fact was there already."""
    now = timezone.now()
    if fact.event is None:
        return inbox.record_unreadable(Message(fact.key, fact.data, dict(fact.attributes), now), fact.reason)
    data, attributes = fact.event.encode()
    return inbox.record(Message(fact.key, data, attributes, now))


def _tell(event: RunEvent | None, reason: str, report: Report) -> None:
    if event is None:
        report.unreadable.append(reason)
        log.error("found what can't be read, and kept it as unreadable: %s", reason)
    else:
        report.events.append(event)
        log.info("run %s %s, and no event said so", event.run_id, SAYS[event.type])
