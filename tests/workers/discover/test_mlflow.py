"""The search of one MLflow server: pages, malformed runs, and how often old runs are searched."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from store.models import InboxEvent, QuickTest
from tests.store.samples import NOON
from tests.workers.discover.fake_tracking import DAY, DAYS, MINUTE, SECOND, FakeTracking, metric, ms
from warmboard.contract.events import EventType, RunEvent, RunStatus
from workers import inbox
from workers.discover.discovery import Discovery, record
from workers.discover.mlflow import RECENT, MlflowLook
from workers.discover.news import Fact

pytestmark = pytest.mark.usefixtures("tables")
State = InboxEvent.State


@pytest.mark.parametrize("tag", ["0", "-1", "seven", "", "1e3", "9" * 30, "\u0667"])
def test_a_tag_that_is_no_quick_test_id_is_ignored(tracking: FakeTracking, discovery: Discovery, tag: str) -> None:
    tracking.run("r1", "FINISHED", end_time=ms(NOON), tags=[{"key": "quick_test_id", "value": tag}])
    assert len(discovery.turn(NOON + MINUTE).events) == 1
    assert not QuickTest.objects.exists()


def test_only_what_ended_within_days_and_not_just_now(tracking: FakeTracking, discovery: Discovery) -> None:
    for run_id, end in (("just now", NOON - 20 * SECOND), ("lately", NOON - DAY), ("long ago", NOON - 8 * DAY)):
        tracking.run(run_id.replace(" ", "-"), "KILLED", end_time=ms(end), start_time=ms(NOON - 9 * DAY))
    assert [event.run_id for event in discovery.turn(NOON).events] == ["lately"]
    assert [event.run_id for event in discovery.turn(NOON + MINUTE).events] == ["just-now"]


def test_the_next_look_comes_when_the_first_of_what_is_too_new_is_due(
    tracking: FakeTracking, discovery: Discovery
) -> None:
    """So the longest wait is the time between two looks, not that and the head start."""
    assert discovery.turn(NOON).pause(60, NOON) == 60, "nothing is"
    tracking.run("ended", "FINISHED", end_time=ms(NOON - 20 * SECOND))
    tracking.run("began", start_time=ms(NOON - 10 * SECOND), metrics=[metric(NOON)])
    report = discovery.turn(NOON)
    assert (report.events, report.settles_at) == ([], NOON + 10 * SECOND)
    report.took = 0.1  # However busy this machine is.
    assert [report.pause(60, NOON), report.pause(7, NOON)] == [10, 7]
    assert report.pause(60, NOON + 9 * SECOND) == 5, "not all the time"
    report.took = 2
    assert report.pause(60, NOON) == 40, "a look that takes long comes seldom"
    report = discovery.turn(NOON + 10 * SECOND)
    assert [event.run_id for event in report.events] == ["ended"]
    assert report.settles_at == NOON + 20 * SECOND
    assert [event.run_id for event in discovery.turn(NOON + 20 * SECOND).events] == ["began"]
    own = RunEvent.completed(
        run_id="announced",
        tracking_server="default",
        experiment_name="two-tower",
        status=RunStatus.FINISHED,
        end_time=NOON + 20 * SECOND,
    )
    assert record(Fact("its own", own))
    tracking.run("announced", "FINISHED", end_time=ms(NOON + 20 * SECOND))
    assert discovery.turn(NOON + 21 * SECOND).settles_at is None, "it needs no look"


def test_an_unknown_run_in_progress(tracking: FakeTracking, discovery: Discovery) -> None:
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


def test_every_page_of_every_experiment(tracking: FakeTracking, discovery: Discovery, monkeypatch: Any) -> None:
    monkeypatch.setattr("workers.discover.mlflow.PAGE", 2)
    monkeypatch.setattr("workers.discover.mlflow.EXPERIMENTS_PAGE", 2)
    tracking.experiments = {str(number): f"e{number}" for number in range(5)}
    for number in range(15):
        tracking.run(f"r{number}", "FINISHED", end_time=ms(NOON) - number, experiment_id=str(number % 5))
    found = discovery.turn(NOON + MINUTE).events
    assert {(event.run_id, event.experiment_name) for event in found} == {(f"r{n}", f"e{n % 5}") for n in range(15)}


def test_a_page_that_is_too_large_to_parse_is_asked_for_in_parts(
    tracking: FakeTracking, discovery: Discovery, monkeypatch: Any
) -> None:
    monkeypatch.setattr("workers.history.bounded.LONGEST", 3000)
    for number in range(20):
        tracking.run(f"r{number}", "FINISHED", end_time=ms(NOON) - number, tags=[{"key": "note", "value": "x" * 500}])
    found = discovery.turn(NOON + MINUTE).events
    assert {event.run_id for event in found} == {f"r{number}" for number in range(20)}
    tracking.run("huge", "FINISHED", end_time=ms(NOON), tags=[{"key": "note", "value": "x" * 3000}])
    assert "is longer than 3,000 bytes" in discovery.turn(NOON + 2 * MINUTE).down["MLflow 'default'"]


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b'{"experiments": [{}]}', b'{"experiments": 5}'])
def test_an_answer_in_a_wrong_shape(tracking: FakeTracking, discovery: Discovery, answer: bytes) -> None:
    tracking.answer = answer
    assert "unlike MLflow" in discovery.turn(NOON).down["MLflow 'default'"]


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
def test_a_malformed_run_is_kept_as_unreadable_and_the_others_are_found(
    tracking: FakeTracking, discovery: Discovery, change: dict[str, Any]
) -> None:
    odd = tracking.run("odd")
    odd["data" if change.keys() & odd["data"].keys() else "info"].update(change)
    tracking.run("sound", "FINISHED", end_time=ms(NOON))
    tracking._runs = lambda asked: tracking.runs  # type: ignore[method-assign]
    reports = [discovery.turn(NOON + MINUTE) for _ in range(2)]
    assert [[event.run_id for event in report.events] for report in reports] == [["sound"], []]
    assert [(len(report.unreadable), report.down) for report in reports] == [(1, {}), (0, {})]
    assert "is malformed" in InboxEvent.objects.get(state=State.UNREADABLE).reason


def test_a_tag_without_a_value_is_ignored(tracking: FakeTracking, discovery: Discovery) -> None:
    tracking.run("r1", "FINISHED", end_time=ms(NOON), tags=[{"key": "quick_test_id", "value": None}])
    assert len(discovery.turn(NOON + MINUTE).events) == 1


def test_a_server_without_a_last_page_is_not_read_for_ever(
    tracking: FakeTracking, discovery: Discovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking.next_page = "0"
    assert "the same page again and again" in discovery.turn(NOON).down["MLflow 'default'"]
    monkeypatch.setattr("workers.discover.mlflow.MOST_PAGES", 1)
    assert "more than 1 pages" in discovery.turn(NOON).down["MLflow 'default'"]


@pytest.mark.parametrize(("metrics", "end"), [([NOON - MINUTE, NOON - DAY, 2**62], MINUTE), ([], 2 * MINUTE)])
def test_a_run_that_ended_without_a_time_ended_with_its_newest_value(
    tracking: FakeTracking, discovery: Discovery, metrics: list[Any], end: timedelta
) -> None:
    """As MlflowClient.update_run leaves a run."""
    tracking.run("r1", "FINISHED", metrics=[metric(stamp) for stamp in metrics])
    tracking.run("planned", "SCHEDULED")
    tracking.run("long-ago", "FINISHED", start_time=ms(NOON - 8 * DAY))
    reports = [discovery.turn(NOON + number * MINUTE) for number in range(2)]
    assert [[(event.run_id, event.time) for event in report.events] for report in reports] == [[("r1", NOON - end)], []]
    event = InboxEvent.objects.get().event()
    assert (event.type, event.end_time) == (EventType.COMPLETED, NOON - end)


def test_times_that_lie_ahead_delay_nothing(tracking: FakeTracking, discovery: Discovery) -> None:
    """Of clients whose clock is wrong."""
    tracking.run("ended", "FINISHED", end_time=ms(NOON + DAY))
    tracking.run("ended-without-a-time", "FAILED", start_time=ms(NOON + DAY), metrics=[metric(NOON + 2 * DAY)])
    tracking.run("going", start_time=ms(NOON + DAY), metrics=[metric(NOON + DAY)])
    tracking.run("a-little-ahead", "FINISHED", end_time=ms(NOON + 20 * SECOND))
    found = {event.run_id: (event.type, event.time) for event in discovery.turn(NOON).events}
    assert found == {
        "ended": (EventType.COMPLETED, NOON + DAY),
        "ended-without-a-time": (EventType.COMPLETED, NOON + DAY),
        "going": (EventType.PROGRESSED, NOON),
    }
    for run_id in found:
        inbox.finish(inbox.claim(run_id, "w"))
    later = discovery.turn(NOON + MINUTE)
    assert [event.run_id for event in later.events] == ["a-little-ahead"], "its own event had a head start"


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


def test_many_old_runs_are_searched_less_often(tracking: FakeTracking, discovery: Discovery) -> None:
    def since() -> int:
        """The earliest end time that was searched for."""
        tracking.filters.clear()
        discovery.turn(NOON)
        found = re.search(r"end_time >= (\d+)", tracking.filters[0])
        assert found
        return int(found[1])

    assert [since(), since()] == [ms(NOON - DAYS * DAY)] * 2, "that takes no time"
    tracking.seconds = 10.0
    assert since() == ms(NOON - DAYS * DAY)
    tracking.seconds = 0.0
    tracking.clock += 599
    assert since() == ms(NOON - RECENT)
    tracking.clock += 2
    assert since() == ms(NOON - DAYS * DAY)


def test_an_interrupted_look_starts_again(tracking: FakeTracking, look: MlflowLook) -> None:
    tracking.seconds = 10.0
    tracking.run("r1", "FINISHED", end_time=ms(NOON))
    for _ in range(2):
        assert next(look.look(NOON + MINUTE))[0].event
    assert {item.split(" AND ")[0] for item in tracking.filters} == {
        f"attributes.end_time >= {ms(NOON + MINUTE - DAYS * DAY)}"
    }
