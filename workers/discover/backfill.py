"""The runs of a server that ended before anyone announced them. Beat warms them in the background, behind all events
and at a bounded rate, the newest first; ``python -m workers warm --all`` warms them at once.

What is still to be warmed is derived: MLflow lists its runs, the store has those that were fetched, and the inbox those
that were announced. So a process that starts again goes on where the one before was.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from itertools import takewhile

from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerError
from tqdm import tqdm

from store.models import ENDED, Backfill, Run
from warmboard.contract.entries import SCHEMA_VERSION
from warmboard.contract.events import SWEEP_SOURCE, RunEvent
from workers import inbox
from workers.discover.discovery import record
from workers.discover.mlflow import GRACE, MlflowLook, settles_at
from workers.discover.news import Fact, news
from workers.errors import WarmError
from workers.fetch.server import TrackingServer
from workers.servers import gate
from workers.servers.outage import outage_of
from workers.settings import Settings

log = logging.getLogger(__name__)
OUTSTANDING = 100
"""The max number of unfinished events of the sweep. Its other findings may have more, and so come first."""
MOST = 100_000
"""The max number of runs that are held in memory. When they are warm, the server's runs are listed again."""
CHUNK = 200
"""How many runs are compared with the inbox at a time."""
AGAIN = timedelta(seconds=60)
"""How long a server that answers, but could not be listed, is left alone."""


class Backfilling:
    """Announces the runs of one server, turn by turn: at most ``rate`` a turn. ``dispatch`` queues the warming of a
    run; if it raises kombu's OperationalError, the sweep of the inbox queues the run later.
    """

    def __init__(self, look: MlflowLook, rate: int, dispatch: Callable[[str], None]) -> None:
        self._look, self._rate, self._dispatch = look, rate, dispatch
        self._name = look.server.name
        self._left: list[RunEvent] | None = None
        """The listed runs that are not announced yet, the newest last."""
        self._to_warm, self._has_more = 0, False
        self._not_before: datetime | None = None
        self._told = ""
        self.is_done = False

    def turn(self, now: datetime | None = None) -> None:
        """Announce the next runs; the first turn lists them. Does nothing while the server is down, and when all runs
        are warm.

        Raises DatabaseError.
        """
        now = now or timezone.now()
        if self.is_done or (self._not_before and now < self._not_before) or gate.is_down(self._name):
            return
        if self._left is None:
            try:
                self._left = self._listed(now)
            except WarmError as error:
                self._tell(str(error))
                # When one that is down is back, beat knows it at once.
                self._not_before = None if outage_of(error, self._look.server) else now + AGAIN
                return
        self._announce(self._left, now)
        self._note(self._left, now)

    def _listed(self, now: datetime) -> list[RunEvent]:
        found = 0
        experiments: set[str] = set()
        cold: list[RunEvent] = []
        for page in self._look.ended(now):
            found += len(page)
            experiments.update(event.experiment_name for event in page)
            fetched = _fetched([event.run_id for event in page])
            cold += [event for event in page if event.run_id not in fetched]
            if len(cold) > MOST:
                break
        cold.sort(key=_age, reverse=True)
        self._to_warm, self._has_more = len(cold), len(cold) > MOST
        listed = {"found": found, "experiments": len(experiments), "to_warm": len(cold), "listed_at": now}
        Backfill.objects.update_or_create(name=self._name, defaults={**listed, "done": 0, "finished_at": None})
        log.info("MLflow %r has %d runs that have ended, to be warmed: %d", self._name, found, len(cold))
        return cold

    def _announce(self, left: list[RunEvent], now: datetime) -> None:
        """Announce the next ones, but for those that have just ended: the trainer's own event has a head start."""
        recent = list(takewhile(lambda event: event.time > now - GRACE, reversed(left)))
        waiting = [event for event in recent if settles_at(event.time, now) > now]
        left[len(left) - len(recent) :] = [event for event in reversed(recent) if settles_at(event.time, now) <= now]
        try:
            self._announce_settled(left, now)
        finally:
            left += reversed(waiting)

    def _announce_settled(self, left: list[RunEvent], now: datetime) -> None:
        room = max(0, min(self._rate, OUTSTANDING - inbox.unfinished(SWEEP_SOURCE)))
        while left:
            chunk = left[-CHUNK:]
            # Those that were announced since they were listed take no room.
            unknown = news([Fact(f"{self._name} {event.id}", event) for event in reversed(chunk)], now)
            taken, rest = unknown[:room], unknown[room:]
            self._queue([fact.event.run_id for fact in taken if record(fact) and fact.event])
            # Not before: after an error the next turn looks at all of them again.
            left[-CHUNK:] = [fact.event for fact in reversed(rest) if fact.event]
            room -= len(taken)
            if rest:
                return

    def _queue(self, run_ids: Sequence[str]) -> None:
        try:
            for run_id in run_ids:
                self._dispatch(run_id)
        except BrokerError as error:
            log.error("Redis is down, the sweep will queue the earlier runs: %s", error)

    def _tell(self, reason: str) -> None:
        """Log why the server can't be listed, once."""
        if reason != self._told:
            log.error("the runs of MLflow %r can't be listed, retrying: %s", self._name, reason)
        self._told = reason

    def _note(self, left: Sequence[RunEvent], now: datetime) -> None:
        """Write how far it is, for pages."""
        unfinished = inbox.unfinished(SWEEP_SOURCE)
        is_over = not (left or unfinished)
        done = max(0, self._to_warm - len(left) - unfinished)
        if is_over and self._has_more:
            self._left = None
        self.is_done = is_over and not self._has_more
        Backfill.objects.filter(name=self._name).update(done=done, finished_at=now if self.is_done else None)


def backfills_of(settings: Settings, dispatch: Callable[[str], None]) -> list[Backfilling]:
    """One for each configured server; none if it is turned off."""
    rate = settings.backfill_runs_per_second
    servers = settings.tracking_servers.values() if rate and settings.discover_seconds else ()
    looks = [MlflowLook(server, settings.discover_days, limits=settings.fetch_limits) for server in servers]
    return [Backfilling(look, rate, dispatch) for look in looks]


def cold_runs(server: TrackingServer, settings: Settings) -> list[str]:
    """The IDs of the server's ended runs that are not warm, those that ended last first. Shows its progress.

    What is warm by then is left out the next time. Raises TransientError, PermanentError, DatabaseError.
    """
    look = MlflowLook(server, settings.discover_days, limits=settings.fetch_limits)
    found = 0
    cold: list[RunEvent] = []
    with tqdm(unit="run", desc="listing", file=sys.stderr, dynamic_ncols=True, disable=None) as bar:
        for page in look.ended(timezone.now()):
            found += len(page)
            warm = _warm([event.run_id for event in page])
            cold += [event for event in page if event.run_id not in warm]
            bar.update(len(page))
    print(
        f"{found:,} runs have ended on {server.name}; already warm: {found - len(cold):,}; to warm: {len(cold):,}, "
        "the newest first",
        file=sys.stderr,
    )
    return [event.run_id for event in sorted(cold, key=_age)]


def _age(event: RunEvent) -> tuple[float, str]:
    """Smaller for newer runs."""
    return -event.time.timestamp(), event.run_id


def _fetched(run_ids: Collection[str]) -> set[str]:
    """Those that were fetched after their end. Their charts may have expired since, or be of an older version: that is
    not a matter of the backfill.
    """
    known = Run.objects.filter(pk__in=run_ids, fetched_at__isnull=False, status__in=ENDED)
    return set(known.values_list("pk", flat=True))


def _warm(run_ids: Collection[str]) -> set[str]:
    """Those with entries that were made after their end."""
    known = Run.objects.filter(pk__in=run_ids, schema_version=SCHEMA_VERSION, status__in=ENDED)
    return set(known.values_list("pk", flat=True))
