"""Searches one MLflow server for runs that have ended recently, for runs in progress, and for what has changed in them.

Uses ``experiments/search`` and ``runs/search``, which MLflow 2.9.2 and 3.17.2 answer alike.
https://mlflow.org/docs/latest/rest-api.html#search-runs
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import urllib3

from store.models import ENDED
from warmboard.contract.cloudevents import LONGEST, LONGEST_ATTRIBUTE
from warmboard.contract.events import SWEEP_SOURCE, EventType, RunEvent, RunStatus, quick_test_of
from workers.discover.news import NEVER, Fact
from workers.discover.throttle import Throttle
from workers.errors import NotMlflowError, PermanentError
from workers.fetch.api import API, MlflowApi
from workers.fetch.budget import Limits
from workers.fetch.server import TrackingServer
from workers.history.bounded import TooLargeError
from workers.history.digest import digest_of_found
from workers.history.fetched import moment, printable

log = logging.getLogger(__name__)
GRACE = timedelta(seconds=30)
"""The trainer's own event gets this head start."""
OVERLAP = timedelta(minutes=10)
"""A look at runs that have ended since the last look goes back this long before it."""
RECENT = timedelta(hours=1)
"""Runs that ended within this time are searched at every look: what changes in them is noticed at the next."""
PAGE = 1000
"""Runs per request. Each comes with all its latest metrics, parameters and tags."""
MOST_PAGES = 10_000
"""A search with more pages is taken for an endless one."""
EXPERIMENTS_PAGE = 500
"""The number of experiments that one request lists or searches."""

DELETED = "deleted"
"""MLflow's lifecycle stage of a deleted run; the other is active."""

ODD = (AttributeError, KeyError, OverflowError, TypeError, ValueError)
"""Errors that an answer in a wrong shape causes."""

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Experiment:
    """``name`` has at most as many characters as an event may have. A deleted one has only deleted runs."""

    name: str
    deleted: bool

    @classmethod
    def of(cls, experiment: Document) -> Experiment:
        name = printable(str(experiment.get("name") or experiment["experiment_id"]))
        return cls(name[: LONGEST["experiment_name"]], experiment.get("lifecycle_stage") == DELETED)


class MlflowLook:
    """Searches one server, turn by turn, for runs that have ended within ``days`` and for runs in progress.

    ``transport`` replaces the network in tests.
    """

    def __init__(
        self,
        server: TrackingServer,
        days: int,
        *,
        limits: Limits | None = None,
        transport: urllib3.PoolManager | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.place = f"MLflow {server.name!r}"
        self.server = server
        self._days = timedelta(days=days)
        self._api = MlflowApi(server, connections=1, limits=limits, transport=transport)
        self._throttle = Throttle(clock)
        self._looked_at: datetime | None = None

    def look(self, now: datetime) -> Iterator[list[Fact]]:
        """Yield the facts of each page, the newest runs first, those included that are not settled yet. Runs that have
        ended long ago are searched again as often as the throttle allows: at every turn if there are few.

        Raises TransientError, PermanentError.
        """
        whole = self._looked_at is None or self._throttle.due
        began = now - self._days
        since = began if whole or self._looked_at is None else min(self._looked_at - OVERLAP, now - RECENT)
        experiments = self._experiments()
        # Times that lie ahead are of clients whose clock is wrong. There may be many, so not every look searches them.
        until = None if whole else now
        ended = _within("end_time", since, until)
        for page in self._runs(experiments, ended, "attributes.end_time DESC", measured=whole):
            yield self._facts(page, experiments, now)
        if whole:
            for page in self._without_times(experiments, began):
                yield self._facts(page, experiments, now)
        going = f"{_within('start_time', began, until)} AND attributes.status = '{RunStatus.RUNNING}'"
        for page in self._runs(experiments, going, "attributes.start_time DESC"):
            yield self._facts(page, experiments, now)
        self._looked_at = now
        if whole:
            self._throttle.done()

    def ended(self, now: datetime) -> Iterator[list[RunEvent]]:
        """Yield the completed events of all runs that have ended and are not deleted, page by page, whenever that was.
        Malformed runs are logged and left out.

        Raises TransientError, PermanentError.
        """
        experiments = self._experiments()
        which = f"attributes.status != '{RunStatus.RUNNING}' AND attributes.status != '{RunStatus.SCHEDULED}'"
        for page in self._runs(experiments, which, "attributes.start_time DESC"):
            facts = self._facts(page, experiments, now)
            for fact in facts:
                if fact.event is None:
                    log.error("not warmed: %s", fact.reason)
            yield [fact.event for fact in facts if fact.event and fact.event.type == EventType.COMPLETED]

    def _without_times(self, experiments: Mapping[str, Experiment], began: datetime) -> Iterator[list[Document]]:
        """Pages of the runs that the other searches miss: some clients end runs without an end_time, or start them
        without a start_time. Of the latter, those that logged since ``began``.
        """
        # MLflow can't search for runs without an end_time.
        ended = _within("start_time", began)
        ended += f" AND attributes.status != '{RunStatus.RUNNING}' AND attributes.status != '{RunStatus.SCHEDULED}'"
        for page in self._runs(experiments, ended, "attributes.start_time DESC", measured=True):
            with self._understood("runs"):
                yield [run for run in page if not run["info"].get("end_time")]
        for page in self._runs(experiments, "attributes.start_time = 0", "attributes.start_time DESC", measured=True):
            with self._understood("runs"):
                yield [run for run in page if not run["info"].get("end_time") and _logged_since(run, began)]

    def _experiments(self) -> dict[str, Experiment]:
        """By ID."""
        asked = {"max_results": EXPERIMENTS_PAGE, "view_type": "ALL"}
        found: dict[str, Experiment] = {}
        for page in self._pages("experiments", asked):
            with self._understood("experiments"):
                found |= {experiment["experiment_id"]: Experiment.of(experiment) for experiment in page}
        return found

    def _runs(
        self, experiments: Mapping[str, Experiment], which: str, order: str, *, measured: bool = False
    ) -> Iterator[list[Document]]:
        ids = list(experiments)
        for begin in range(0, len(ids), EXPERIMENTS_PAGE):
            asked = {
                "experiment_ids": ids[begin : begin + EXPERIMENTS_PAGE],
                "filter": which,
                "run_view_type": "ALL",
                "max_results": PAGE,
                "order_by": [order],
            }
            yield from self._pages("runs", asked, measured=measured)

    def _pages(self, what: str, asked: dict[str, Any], *, measured: bool = False) -> Iterator[list[Document]]:
        for _ in range(MOST_PAGES):
            with self._throttle.measured(measured):
                page = self._page(what, asked)
            with self._understood(what):
                found, token = page.get(what, []), page.get("next_page_token")
            yield found
            if not token:
                return
            if token == asked.get("page_token"):
                raise PermanentError(f"{self.server.uri} answers {what}/search with the same page again and again")
            asked["page_token"] = token
        raise PermanentError(f"{self.server.uri} answers {what}/search with more than {MOST_PAGES:,} pages")

    def _page(self, what: str, asked: dict[str, Any]) -> dict[str, Any]:
        """One page; of runs with very many metrics a shorter one, and so all that follow."""
        while True:
            try:
                return self._api.post(f"{API}{what}/search", asked)
            except NotMlflowError as error:
                if not isinstance(error.__cause__, TooLargeError) or asked["max_results"] == 1:
                    raise
                asked["max_results"] = max(1, asked["max_results"] // 4)

    def _facts(self, page: list[Document], experiments: Mapping[str, Experiment], now: datetime) -> list[Fact]:
        with self._understood("runs"):
            return [fact for run in page for fact in self._facts_of(run, experiments, now)]

    def _facts_of(self, run: Document, experiments: Mapping[str, Experiment], now: datetime) -> list[Fact]:
        """The facts of one run: that it is in progress or has ended, and how it is described now. A malformed run
        becomes one unreadable fact, a deleted one a fact that says so.
        """
        info = run["info"]
        try:
            experiment = experiments[info["experiment_id"]]
            event = self._event(run, experiment.name, now)
            if event is None:
                return []
            settles_at = _settles_at(event, run, now)
            changed = replace(self._changed(event, run, now), settles_at=settles_at)
        except ODD as error:
            name = printable(str(info.get("run_id")))
            reason = f"run {name} of {self.server.uri} is malformed: {error!r}"
            data = json.dumps(info).encode()
            return [Fact(f"{self.server.name} {name}.unreadable"[-LONGEST_ATTRIBUTE:], None, data=data, reason=reason)]
        if _is_deleted(run, experiments):
            return [replace(changed, deleted=True)]
        return [Fact(f"{self.server.name} {event.id}"[:LONGEST_ATTRIBUTE], event, settles_at=settles_at), changed]

    def _changed(self, event: RunEvent, run: Document, now: datetime) -> Fact:
        """How the run is described now. ``event`` is that it is in progress or has ended."""
        digest = digest_of_found(run, event.experiment_name)
        # With the time: what is changed back must be an event of its own.
        changed = replace(event, type=EventType.CHANGED, id=f"{event.run_id}.changed.{digest}.{_ms(now)}", time=now)
        newest = event.time if event.type == EventType.PROGRESSED else None
        return Fact(f"{self.server.name} {changed.id}"[:LONGEST_ATTRIBUTE], changed, digest=digest, newest=newest)

    def _event(self, run: Document, experiment: str, now: datetime) -> RunEvent | None:
        """A completed or a progressed event; None for a run that has neither ended nor started."""
        info = run["info"]
        if not isinstance(info["run_id"], str) or "\0" in info["run_id"]:
            raise ValueError(f"run_id is {info['run_id']!r}")
        status = RunStatus(info["status"])
        end = _end(run, now) if status in ENDED else None
        if end:
            type_, what, happened = EventType.COMPLETED, f"completed.{round(end.timestamp() * 1000)}", end
        elif status is RunStatus.RUNNING:
            newest, happened = _newest(run, now)
            type_, what = EventType.PROGRESSED, f"progressed.{newest}"
        else:
            return None
        return RunEvent(
            type=type_,
            source=SWEEP_SOURCE,
            id=f"{info['run_id']}.{what}",
            time=happened,
            run_id=info["run_id"],
            tracking_server=self.server.name,
            experiment_name=experiment,
            status=status,
            quick_test_id=_quick_test_id(run),
            end_time=end,
        )

    @contextmanager
    def _understood(self, what: str) -> Iterator[None]:
        try:
            yield
        except ODD as error:
            text = f"{self.server.uri} answered {what}/search unlike MLflow"
            raise PermanentError(f"{text}: {error!r}") from error


def _is_deleted(run: Document, experiments: Mapping[str, Experiment]) -> bool:
    info = run["info"]
    return experiments[info["experiment_id"]].deleted or info.get("lifecycle_stage") == DELETED


def _end(run: Document, now: datetime) -> datetime | None:
    """The end time; without one in MLflow, the time of the newest value that does not lie ahead, or else the start
    time. If all lie ahead, the first of them.
    """
    if end := moment(run["info"].get("end_time")):
        return end
    times = [time for stamp in (_start(run), *_stamps(run)) if (time := moment(stamp))]
    past = [time for time in times if time <= now]
    return max(past) if past else min(times, default=None)


def settles_at(time: datetime, now: datetime) -> datetime:
    """When the trainer's own event of what happened then has had its head start. Nothing waits for a time that lies
    ahead: a clock is wrong.
    """
    return time + GRACE if time <= now + GRACE else NEVER


def _settles_at(event: RunEvent, run: Document, now: datetime) -> datetime:
    """Of the run's end, or of its start."""
    began = event.time if event.type == EventType.COMPLETED else moment(_start(run) or None)
    return settles_at(began, now) if began else NEVER


def _newest(run: Document, now: datetime) -> tuple[int, datetime]:
    """The timestamp of a run's newest value: as logged, and as a time within the run. Some clients log no times."""
    start = _start(run)
    newest = max(_stamps(run), default=start)
    return newest, min(moment(max(newest, start)) or now, now)


def _logged_since(run: Document, began: datetime) -> bool:
    """Whether the run logged since then. A malformed run counts: it is reported later."""
    try:
        return any(stamp >= _ms(began) for stamp in _stamps(run))
    except ODD:
        return True


def _start(run: Document) -> int:
    return int(run["info"].get("start_time") or 0)


def _stamps(run: Document) -> list[int]:
    return [int(metric["timestamp"]) for metric in run.get("data", {}).get("metrics", [])]


def _quick_test_id(run: Document) -> int | None:
    return quick_test_of({tag["key"]: tag.get("value") for tag in run.get("data", {}).get("tags", [])})


def _within(name: str, since: datetime, until: datetime | None = None) -> str:
    """A filter of MLflow's search: runs whose time of that name is no earlier and no later."""
    filter_ = f"attributes.{name} >= {_ms(since)}"
    return f"{filter_} AND attributes.{name} <= {_ms(until)}" if until else filter_


def _ms(time: datetime) -> int:
    return int(time.timestamp() * 1000)
