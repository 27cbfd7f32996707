"""Runs that no event announced are found in MLflow, once, and those that were announced are left alone."""

from __future__ import annotations

import io
import json
import logging
import operator
import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
import urllib3
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from kombu.exceptions import OperationalError

from store.models import InboxEvent, QuickTest, Run
from tests.store.samples import NOON, announce
from tests.workers.test_inbox import message
from warmboard.contract.events import EventType
from workers import inbox, sweep
from workers.discover.discovery import Discovery
from workers.discover.mlflow import OVERLAP, MlflowLook
from workers.discover.news import SETTLING
from workers.fetch.server import TrackingServer
from workers.inbox import SWEEP_SOURCE
from workers.settings import Settings

pytestmark = pytest.mark.usefixtures("tables")
State = InboxEvent.State
SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
DAYS = 7
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "=": operator.eq,
    "!=": operator.ne,
}


class FakeTracking(urllib3.PoolManager):
    """An MLflow server's lists of experiments and runs, filtered and paged as MLflow does it."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[dict[str, Any]] = []
        self.experiments = {"1": "two-tower"}
        self.status, self.answer = 200, b""
        self.next_page = ""
        """It goes on for ever with it."""
        self.filters: list[str] = []
        self.clock, self.seconds = 0.0, 0.0
        """Each answer takes so many seconds of that clock."""

    def run(self, run_id: str, status: str = "RUNNING", **info: Any) -> dict[str, Any]:
        """Begins, or changes, a run; ``metrics`` and ``tags`` are its data."""
        data = {"metrics": info.pop("metrics", []), "tags": info.pop("tags", [])}
        given = {"start_time": ms(NOON - 2 * MINUTE), "experiment_id": "1", **info}
        run = {"info": {"run_id": run_id, "status": status, **given}, "data": data}
        self.runs = [other for other in self.runs if other["info"]["run_id"] != run_id] + [run]
        return run

    def urlopen(self, method: str, url: str, redirect: bool = True, **kw: Any) -> urllib3.HTTPResponse:  # type: ignore[override]
        self.clock += self.seconds
        asked = json.loads(kw["body"])
        what = url.split("/")[-2]
        found = self._experiments() if what == "experiments" else self._runs(asked)
        begin = int(asked.get("page_token") or 0)
        end = begin + asked["max_results"]
        page = {what: found[begin:end], "next_page_token": self.next_page or (str(end) if end < len(found) else "")}
        body = self.answer or json.dumps(page).encode()
        return urllib3.HTTPResponse(io.BytesIO(body), {}, self.status, preload_content=False, decode_content=False)

    def _experiments(self) -> list[dict[str, Any]]:
        return [{"experiment_id": number, "name": name} for number, name in self.experiments.items()]

    def _runs(self, asked: dict[str, Any]) -> list[dict[str, Any]]:
        self.filters.append(asked["filter"])
        assert asked["run_view_type"] == "ACTIVE_ONLY"
        key, direction = asked["order_by"][0].removeprefix("attributes.").split()
        assert direction == "DESC"
        found = [
            run
            for run in self.runs
            if run["info"]["experiment_id"] in asked["experiment_ids"]
            and all(_holds(run["info"], condition) for condition in asked["filter"].split(" AND "))
        ]
        return sorted(found, key=lambda run: -run["info"][key])


def _holds(info: dict[str, Any], condition: str) -> bool:
    parsed = re.fullmatch(r"attributes\.(\w+) (>=|<=|=|!=) (?:(\d+)|'(\w+)')", condition)
    assert parsed
    name, sign, number, text = parsed.groups()
    wanted = int(number) if number else text
    return name in info and OPERATORS[sign](info[name], wanted)


def ms(moment: Any) -> int:
    return int(moment.timestamp() * 1000)


def metric(moment: Any, step: int = 3) -> dict[str, Any]:
    return {"key": "loss", "value": 0.5, "step": step, "timestamp": moment if isinstance(moment, int) else ms(moment)}


@pytest.fixture
def tracking() -> FakeTracking:
    return FakeTracking()


@pytest.fixture
def queued() -> list[str]:
    """The runs whose warming was queued."""
    return []


@pytest.fixture
def look(tracking: FakeTracking) -> MlflowLook:
    server = TrackingServer("default", "http://mlflow.test")
    return MlflowLook(server, DAYS, transport=tracking, clock=lambda: tracking.clock)


@pytest.fixture
def discovery(look: MlflowLook, queued: list[str]) -> Discovery:
    return Discovery([look], queued.append)


def rows() -> list[tuple[str, str]]:
    """Source and ID of all events, in the order in which they came."""
    return list(InboxEvent.objects.order_by("pk").values_list("source", "event_id"))


def completed(run_id: str, time: str) -> InboxEvent:
    row = inbox.record(message(event_id=f"{run_id} {time}", run_id=run_id, time=time))
    assert row
    return row


def test_an_ended_run_is_recorded_once(tracking: FakeTracking, discovery: Discovery, queued: list[str]) -> None:
    tags = [{"key": "quick_test_id", "value": "7"}]
    tracking.run("r1", "FAILED", end_time=ms(NOON), tags=tags)
    for number in range(3):
        report = discovery.turn(NOON + MINUTE + number * DAY)
        assert [event.run_id for event in report.events] == ["r1"][number:]
    assert queued == ["r1"]
    assert rows() == [(SWEEP_SOURCE, f"r1.completed.{ms(NOON)}")]
    event = InboxEvent.objects.get().event()
    assert (event.type, event.time, event.end_time) == (EventType.COMPLETED, NOON, NOON)
    assert (event.tracking_server, event.experiment_name, event.status) == ("default", "two-tower", "FAILED")
    assert (Run.objects.get().status, Run.objects.get().announced_at) == ("FAILED", NOON)
    assert QuickTest.objects.get(pk=7).mlflow_run_id == "r1"


@pytest.mark.parametrize("tag", ["0", "-1", "seven", "", "1e3", "9" * 30, "\u0667"])
def test_a_tag_that_numbers_no_quick_test_is_left_alone(tracking: FakeTracking, discovery: Discovery, tag: str) -> None:
    tracking.run("r1", "FINISHED", end_time=ms(NOON), tags=[{"key": "quick_test_id", "value": tag}])
    assert len(discovery.turn(NOON + MINUTE).events) == 1
    assert not QuickTest.objects.exists()


def test_only_what_ended_within_days_and_not_just_now(tracking: FakeTracking, discovery: Discovery) -> None:
    for run_id, end in (("just now", NOON - 20 * SECOND), ("lately", NOON - DAY), ("long ago", NOON - 8 * DAY)):
        tracking.run(run_id.replace(" ", "-"), "KILLED", end_time=ms(end), start_time=ms(NOON - 9 * DAY))
    assert [event.run_id for event in discovery.turn(NOON).events] == ["lately"]
    assert [event.run_id for event in discovery.turn(NOON + MINUTE).events] == ["just-now"]


@pytest.mark.parametrize(
    ("told", "found"), [("11:59:59.100Z", 0), ("12:00:00Z", 0), ("12:30:00Z", 0), ("11:59:58Z", 1)]
)
def test_an_end_that_an_event_has_told_is_known(
    tracking: FakeTracking, discovery: Discovery, told: str, found: int
) -> None:
    """An earlier one may be of the run's end before it was gone on with."""
    completed("r1", f"2026-01-02T{told}")
    tracking.run("r1", "FINISHED", end_time=ms(NOON))
    assert len(discovery.turn(NOON + MINUTE).events) == found


@pytest.mark.parametrize(
    ("status", "fetched", "found"),
    [("FINISHED", NOON, 0), ("FINISHED", NOON - SECOND, 1), ("RUNNING", NOON, 1), ("FINISHED", None, 1)],
)
def test_an_end_that_was_fetched_is_known(
    tracking: FakeTracking, discovery: Discovery, status: str, fetched: Any, found: int
) -> None:
    """As `python -m workers warm` does it, without any event."""
    announce("r1")
    Run.objects.update(status=status, fetched_at=fetched)
    tracking.run("r1", "FINISHED", end_time=ms(NOON))
    assert len(discovery.turn(NOON + MINUTE).events) == found


def test_an_end_whose_warming_failed_for_good_is_not_told_again(tracking: FakeTracking, discovery: Discovery) -> None:
    tracking.run("r1", "FINISHED", end_time=ms(NOON))
    discovery.turn(NOON + MINUTE)
    inbox.give_up(inbox.claim("r1", "w"), "no permission")
    assert discovery.turn(NOON + 2 * MINUTE).events == []


def test_a_run_that_goes_on_and_that_nobody_knows(tracking: FakeTracking, discovery: Discovery) -> None:
    tracking.run("r1", metrics=[metric(NOON - MINUTE, 2), metric(NOON - 5 * SECOND), metric(NOON - DAY)])
    tracking.run("empty")
    tracking.run("just-begun", start_time=ms(NOON - 20 * SECOND))
    tracking.run("planned", "SCHEDULED")
    discovery.turn(NOON)
    found = {event.run_id: event.event() for event in InboxEvent.objects.all()}
    assert found.keys() == {"r1", "empty"}
    assert (found["r1"].type, found["r1"].status, found["r1"].time) == (
        EventType.PROGRESSED,
        "RUNNING",
        NOON - 5 * SECOND,
    )
    assert found["r1"].id == f"r1.progressed.{ms(NOON - 5 * SECOND)}"
    assert found["empty"].time == NOON - 2 * MINUTE


@pytest.mark.parametrize(
    ("newest", "fetched", "found"),
    [
        (NOON - MINUTE, NOON - 10 * MINUTE, 1),
        (NOON - SECOND, NOON - 10 * MINUTE, 1),
        (NOON - 20 * MINUTE, NOON - 10 * MINUTE, 0),
        (NOON - SECOND, NOON - SETTLING + SECOND, 0),
        (NOON - MINUTE, None, 1),
    ],
    ids=["left behind", "still training", "all fetched", "followed by its events", "never fetched"],
)
def test_a_run_that_goes_on_is_fetched_where_nobody_tells(
    tracking: FakeTracking, discovery: Discovery, newest: Any, fetched: Any, found: int
) -> None:
    announce("r1")
    Run.objects.update(status="RUNNING", fetched_at=fetched)
    tracking.run("r1", metrics=[metric(newest)], start_time=ms(NOON - DAY))
    assert len(discovery.turn(NOON).events) == found
    assert discovery.turn(NOON + SECOND).events == []


@pytest.mark.parametrize("outcome", ["pending", "warming", "failed"])
def test_a_run_that_somebody_is_about_to_fetch_or_that_failed_is_left_alone(
    tracking: FakeTracking, discovery: Discovery, outcome: str
) -> None:
    tracking.run("r1", metrics=[metric(NOON)])
    discovery.turn(NOON + MINUTE)
    claimed = inbox.claim("r1", "w") if outcome != "pending" else []
    if outcome == "failed":
        inbox.give_up(claimed, "no permission")
    tracking.run("r1", metrics=[metric(NOON + 9 * MINUTE)])
    assert discovery.turn(NOON + 10 * MINUTE).events == []
    tracking.run("r1", "FINISHED", end_time=ms(NOON + 9 * MINUTE))
    assert len(discovery.turn(NOON + 10 * MINUTE).events) == 1, "its end is told in any case"


@pytest.mark.parametrize(
    ("stamp", "time"),
    [(5, NOON - 2 * MINUTE), (2**62, NOON), (-1, NOON - 2 * MINUTE), (ms(NOON + DAY), NOON)],
    ids=["a count", "beyond the calendar", "negative", "of a clock that is ahead"],
)
def test_timestamps_that_are_no_times(tracking: FakeTracking, discovery: Discovery, stamp: int, time: Any) -> None:
    tracking.run("r1", metrics=[metric(stamp)])
    discovery.turn(NOON)
    assert (InboxEvent.objects.get().happened_at, InboxEvent.objects.get().event_id) == (time, f"r1.progressed.{stamp}")
    inbox.finish(inbox.claim("r1", "w"))
    assert discovery.turn(NOON + DAY).events == []


def test_a_run_that_no_event_can_name_is_kept_as_unreadable_once(
    tracking: FakeTracking, discovery: Discovery, queued: list[str]
) -> None:
    tracking.experiments["2"] = "\0" + "x" * 600
    tracking.run("r1", "FINISHED", end_time=ms(NOON), experiment_id="2")
    tracking.run("no run/id", "FINISHED", end_time=ms(NOON))
    reports = [discovery.turn(NOON + MINUTE) for _ in range(2)]
    assert [(len(report.events), len(report.unreadable)) for report in reports] == [(1, 1), (0, 0)]
    assert InboxEvent.objects.get(run_id="r1").event().experiment_name == "\N{REPLACEMENT CHARACTER}" + "x" * 499
    assert "run_id is 'no run/id'" in InboxEvent.objects.get(state=State.UNREADABLE).reason
    assert queued == ["r1"]


def test_what_is_known_costs_few_queries(tracking: FakeTracking, discovery: Discovery) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert discovery.turn(NOON + MINUTE).events == []
        return len(captured)

    def known_run(number: int) -> None:
        tracking.run(f"r{number}", "FINISHED", end_time=ms(NOON))
        completed(f"r{number}", "2026-01-02T12:00:00Z")

    known_run(0)
    one = queries()
    for number in range(1, 90):
        known_run(number)
    assert queries() == one <= 5


def test_every_page_of_every_experiment(tracking: FakeTracking, discovery: Discovery, monkeypatch: Any) -> None:
    monkeypatch.setattr("workers.discover.mlflow.PAGE", 2)
    monkeypatch.setattr("workers.discover.mlflow.EXPERIMENTS_PAGE", 2)
    tracking.experiments = {str(number): f"e{number}" for number in range(5)}
    for number in range(15):
        tracking.run(f"r{number}", "FINISHED", end_time=ms(NOON) - number, experiment_id=str(number % 5))
    found = discovery.turn(NOON + MINUTE).events
    assert {(event.run_id, event.experiment_name) for event in found} == {(f"r{n}", f"e{n % 5}") for n in range(15)}


def test_the_newest_come_first_and_the_rest_when_there_is_room(
    tracking: FakeTracking, discovery: Discovery, queued: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.discover.discovery.OUTSTANDING", 2)
    for number in range(5):
        tracking.run(f"r{number}", "FINISHED", end_time=ms(NOON) + number)
    report = discovery.turn(NOON + MINUTE)
    assert (queued, report.more) == (["r4", "r3"], True)
    assert discovery.turn(NOON + MINUTE).events == [], "nobody got to the first two yet"
    for run_id in ("r4", "r3"):
        inbox.finish(inbox.claim(run_id, "w"))
    assert str(discovery.turn(NOON + MINUTE)).endswith("more at the next turn")
    for run_id in ("r2", "r1"):
        inbox.finish(inbox.claim(run_id, "w"))
    assert discovery.turn(NOON + MINUTE).more is False
    assert queued == ["r4", "r3", "r2", "r1", "r0"]


def test_a_dry_run_only_tells(tracking: FakeTracking, discovery: Discovery, queued: list[str]) -> None:
    tracking.run("r1", "FINISHED", end_time=ms(NOON))
    tracking.run("r2")
    for _ in range(2):
        report = discovery.turn(NOON + MINUTE, dry_run=True)
        assert str(report) == "runs: 1 ended and 1 going on that nobody announced"
    assert (rows(), queued) == ([], [])


def test_a_server_that_is_away_is_told_once_and_keeps_nobody_from_the_others(
    tracking: FakeTracking, look: MlflowLook, queued: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    other = FakeTracking()
    other.run("r2", "FINISHED", end_time=ms(NOON))
    elsewhere = MlflowLook(TrackingServer("eu", "http://eu.test"), DAYS, transport=other)
    discovery = Discovery([look, elsewhere], queued.append)
    tracking.run("r1", "FINISHED", end_time=ms(NOON))
    tracking.status = 503
    with caplog.at_level(logging.INFO):
        reports = [discovery.turn(NOON + MINUTE) for _ in range(3)]
        assert all("answered 503" in report.away["MLflow 'default'"] for report in reports)
        assert queued == ["r2"]
        tracking.status = 200
        assert discovery.turn(NOON + MINUTE).away == {}
    assert queued == ["r2", "r1"]
    said = [record.getMessage() for record in caplog.records if "searched" in record.getMessage()]
    assert len(said) == 2
    assert said[1] == "MLflow 'default' can be searched again"
    assert InboxEvent.objects.get(run_id="r2").event().tracking_server == "eu"


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b'{"experiments": [{}]}', b'{"experiments": 5}'])
def test_an_answer_that_is_not_mlflows(tracking: FakeTracking, discovery: Discovery, answer: bytes) -> None:
    tracking.answer = answer
    assert "as MLflow does" in discovery.turn(NOON).away["MLflow 'default'"]


@pytest.mark.parametrize(
    "change",
    [
        {"status": "NEW"},
        {"start_time": "x"},
        {"experiment_id": 9},
        {"run_id": 5},
        {"run_id": "a\0b"},
        {"metrics": [{"key": "loss"}]},
        {"metrics": [{"timestamp": "1e400"}]},
        {"tags": [{"value": "7"}]},
    ],
)
def test_an_odd_run_is_kept_as_unreadable_and_the_others_are_found(
    tracking: FakeTracking, discovery: Discovery, change: dict[str, Any]
) -> None:
    odd = tracking.run("odd")
    odd["data" if change.keys() & odd["data"].keys() else "info"].update(change)
    tracking.run("sound", "FINISHED", end_time=ms(NOON))
    tracking._runs = lambda asked: tracking.runs  # type: ignore[method-assign]
    reports = [discovery.turn(NOON + MINUTE) for _ in range(2)]
    assert [[event.run_id for event in report.events] for report in reports] == [["sound"], []]
    assert [(len(report.unreadable), report.away) for report in reports] == [(1, {}), (0, {})]
    assert "is none that MLflow would list" in InboxEvent.objects.get(state=State.UNREADABLE).reason


def test_a_tag_without_a_value_is_left_alone(tracking: FakeTracking, discovery: Discovery) -> None:
    tracking.run("r1", "FINISHED", end_time=ms(NOON), tags=[{"key": "quick_test_id", "value": None}])
    assert len(discovery.turn(NOON + MINUTE).events) == 1


def test_a_server_without_a_last_page_is_not_asked_for_ever(
    tracking: FakeTracking, discovery: Discovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking.next_page = "0"
    assert "the same page again and again" in discovery.turn(NOON).away["MLflow 'default'"]
    monkeypatch.setattr("workers.discover.mlflow.MOST_PAGES", 1)
    assert "more than 1 pages" in discovery.turn(NOON).away["MLflow 'default'"]


@pytest.mark.parametrize(("metrics", "end"), [([NOON - MINUTE, NOON - DAY, 2**62], MINUTE), ([], 2 * MINUTE)])
def test_a_run_that_ended_without_a_time_ended_with_its_newest_value(
    tracking: FakeTracking, discovery: Discovery, metrics: list[Any], end: timedelta
) -> None:
    """As MlflowClient.update_run leaves it."""
    tracking.run("r1", "FINISHED", metrics=[metric(stamp) for stamp in metrics])
    tracking.run("planned", "SCHEDULED")
    tracking.run("long-ago", "FINISHED", start_time=ms(NOON - 8 * DAY))
    reports = [discovery.turn(NOON + number * MINUTE) for number in range(2)]
    assert [[(event.run_id, event.time) for event in report.events] for report in reports] == [[("r1", NOON - end)], []]
    event = InboxEvent.objects.get().event()
    assert (event.type, event.end_time) == (EventType.COMPLETED, NOON - end)


def test_runs_without_a_start_are_found_while_they_log(tracking: FakeTracking, discovery: Discovery) -> None:
    tracking.run("going", start_time=0, metrics=[metric(NOON - MINUTE)])
    tracking.run("ended", "KILLED", start_time=0, metrics=[metric(NOON - MINUTE)])
    tracking.run("long-ago", start_time=0, metrics=[metric(NOON - 8 * DAY)])
    tracking.run("empty", start_time=0)
    found = {event.run_id: (event.type, event.time) for event in discovery.turn(NOON).events}
    assert found == {
        "going": (EventType.PROGRESSED, NOON - MINUTE),
        "ended": (EventType.COMPLETED, NOON - MINUTE),
    }


def test_where_there_is_much_what_ended_long_ago_is_looked_at_less_often(
    tracking: FakeTracking, discovery: Discovery
) -> None:
    def since() -> int:
        """From which end on runs were asked for."""
        tracking.filters.clear()
        discovery.turn(NOON)
        found = re.search(r"end_time >= (\d+)", tracking.filters[0])
        assert found
        return int(found[1])

    assert [since(), since()] == [ms(NOON - DAYS * DAY)] * 2, "that costs nothing"
    tracking.seconds = 10.0
    assert since() == ms(NOON - DAYS * DAY)
    tracking.seconds = 0.0
    tracking.clock += 599
    assert since() == ms(NOON - OVERLAP)
    tracking.clock += 2
    assert since() == ms(NOON - DAYS * DAY)


def test_a_look_that_was_cut_off_begins_anew(tracking: FakeTracking, look: MlflowLook) -> None:
    tracking.seconds = 10.0
    tracking.run("r1", "FINISHED", end_time=ms(NOON))
    for _ in range(2):
        assert next(look.look(NOON + MINUTE))[0].event
    assert {item.split(" AND ")[0] for item in tracking.filters} == {
        f"attributes.end_time >= {ms(NOON + MINUTE - DAYS * DAY)}"
    }


def test_with_redis_away_the_sweep_of_the_inbox_makes_up(
    tracking: FakeTracking, look: MlflowLook, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[str] = []

    def dispatch(run_id: str) -> None:
        tries.append(run_id)
        raise OperationalError("connection refused")

    for number in range(3):
        tracking.run(f"r{number}", "FINISHED", end_time=ms(NOON))
    assert len(Discovery([look], dispatch).turn(NOON + MINUTE).events) == 3
    assert len(tries) == 1, "it would be away for the others, too"
    assert "Redis is away" in caplog.text
    assert inbox.due(timezone.now() + inbox.dispatch_grace()) == ["r0", "r1", "r2"]


def test_all_configured_servers_and_the_files_are_looked_at() -> None:
    others = "eu=http://eu.test,us=http://us.test"
    given = {"MLFLOW_TRACKING_SERVER": "main", "MLFLOW_TRACKING_SERVERS": others, "OUTPUT_URI": "gs://b/runs"}
    looks: Sequence[Any] = Discovery.of(Settings.read(given), lambda _: None)._looks
    assert [look.place for look in looks] == ["MLflow 'main'", "MLflow 'eu'", "MLflow 'us'", "OUTPUT_URI gs://b/runs"]


def test_it_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.sweep.settings", lambda: Settings.read({"DISCOVER_SECONDS": "0"}))
    sweep._discover_for_ever()
