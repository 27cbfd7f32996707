"""What changes in MLflow after a run was fetched is found, once; and what is deleted and restored."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.models import InboxEvent, Run
from tests.store.samples import NOON, announce
from tests.workers.discover.fake_tracking import DAY, MINUTE, SECOND, FakeTracking, metric, ms
from warmboard.contract.events import EventType
from workers import inbox
from workers.discover.discovery import Discovery
from workers.discover.mlflow import RECENT
from workers.history.digest import digest_of, digest_of_found
from workers.history.fetched import FetchedRun, moment
from workers.history.points import MLFLOW_INFINITY, Points

tables = pytest.mark.usefixtures("tables")
EXPERIMENT = "two-tower"
LOSS = metric(NOON - MINUTE)


def fetched(document: dict[str, Any], at: datetime) -> None:
    """As a worker stores the run that MLflow describes so."""
    run_id, info = document["info"]["run_id"], document["info"]
    if not Run.objects.filter(pk=run_id).exists():
        announce(run_id)
    digest = digest_of_found(document, EXPERIMENT)
    end = moment(info.get("end_time"))
    Run.objects.filter(pk=run_id).update(status=info["status"], end_time=end, fetched_at=at, digest=digest)


def ended(tracking: FakeTracking, run_id: str = "r1", **changes: Any) -> dict[str, Any]:
    return tracking.run(run_id, **{"status": "FINISHED", "end_time": ms(NOON), "metrics": [LOSS], **changes})


def settle() -> None:
    for run_id in inbox.pending():
        inbox.finish(inbox.claim(run_id, "w"))


CHANGES: dict[str, dict[str, Any]] = {
    "a late metric": {"metrics": [LOSS, {**LOSS, "key": "test_acc"}]},
    "a late value": {"metrics": [metric(NOON + MINUTE, 4)]},
    "a name": {"run_name": "better"},
    "a tag": {"tags": [{"key": "team", "value": "vision"}]},
    "a description": {"tags": [{"key": "mlflow.note.content", "value": "what was tried"}]},
    "a parameter": {"params": [{"key": "lr", "value": "1"}]},
    "a status": {"status": "FAILED"},
    "another end": {"end_time": ms(NOON) - 400},
}


@tables
@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_found_once(tracking: FakeTracking, discovery: Discovery, queued: list[str], what: str) -> None:
    fetched(ended(tracking), NOON + SECOND)
    assert discovery.turn(NOON + MINUTE).events == []
    changed = ended(tracking, **CHANGES[what])
    (event,) = discovery.turn(NOON + 2 * MINUTE).events
    assert (event.run_id, event.type, event.time) == ("r1", EventType.CHANGED, NOON + 2 * MINUTE)
    assert discovery.turn(NOON + 3 * MINUTE).events == []
    settle()
    fetched(changed, NOON + 4 * MINUTE)
    assert discovery.turn(NOON + 5 * MINUTE).events == []
    assert queued == ["r1"]


@tables
def test_changed_and_changed_back(tracking: FakeTracking, discovery: Discovery) -> None:
    fetched(ended(tracking), NOON + SECOND)
    for number, name in enumerate(["a", "b", "a", "b"]):
        document = ended(tracking, run_name=name)
        now = NOON + (2 + 2 * number) * MINUTE
        assert len(discovery.turn(now).events) == 1, number
        settle()
        fetched(document, now + SECOND)
        assert discovery.turn(now + MINUTE).events == []


@tables
def test_a_fetch_that_comes_to_another_digest_is_not_repeated(
    tracking: FakeTracking, discovery: Discovery, queued: list[str]
) -> None:
    fetched(ended(tracking), NOON + SECOND)
    Run.objects.update(digest="something else")
    for number in range(1, 6):
        discovery.turn(NOON + number * MINUTE)
        settle()
        Run.objects.update(fetched_at=NOON + number * MINUTE + SECOND)
    assert queued == ["r1"]


@tables
def test_a_run_that_was_fetched_by_a_clock_that_was_ahead_is_fetched_again(
    tracking: FakeTracking, discovery: Discovery
) -> None:
    document = ended(tracking)
    fetched(document, NOON + 80 * 365 * DAY)
    assert [event.run_id for event in discovery.turn(NOON + MINUTE).events] == ["r1"]
    settle()
    fetched(document, NOON + 2 * MINUTE)
    assert discovery.turn(NOON + 3 * MINUTE).events == []


@tables
def test_a_change_that_could_not_be_fetched_is_tried_again_after_a_day(
    tracking: FakeTracking, discovery: Discovery, queued: list[str]
) -> None:
    fetched(ended(tracking), NOON + SECOND)
    ended(tracking, run_name="better")
    discovery.turn(NOON + MINUTE)
    InboxEvent.objects.update(received_at=NOON + MINUTE)
    inbox.give_up(inbox.claim("r1", "w"), "MLflow answered 500")
    assert discovery.turn(NOON + 2 * MINUTE).events == []
    assert len(discovery.turn(NOON + 2 * MINUTE + DAY).events) == 1
    assert queued == ["r1", "r1"]


@tables
def test_once_a_day_an_ended_run_is_fetched_whole(tracking: FakeTracking, discovery: Discovery) -> None:
    """Late points at earlier steps are in no description of the run."""
    document = ended(tracking)
    fetched(document, NOON + SECOND)
    found = []
    for hours in range(1, 7 * 24 + 20, 4):
        now = NOON + timedelta(hours=hours)
        if discovery.turn(now).events:
            found.append(hours)
            InboxEvent.objects.filter(state="pending").update(received_at=now)
            settle()
            fetched(document, now + SECOND)
    assert found == [25, 53, 81, 109, 137, 165], "no longer than the sweep looks"


@tables
def test_a_run_without_a_digest_is_left_until_the_day_is_over(tracking: FakeTracking, discovery: Discovery) -> None:
    """An older version has warmed it."""
    fetched(ended(tracking), NOON + SECOND)
    Run.objects.update(digest="")
    assert discovery.turn(NOON + MINUTE).events == []
    assert len(discovery.turn(NOON + 2 * MINUTE + DAY).events) == 1


@tables
def test_what_was_never_fetched_or_is_being_fetched_is_not_changed(
    tracking: FakeTracking, discovery: Discovery
) -> None:
    document = ended(tracking)
    assert [event.type for event in discovery.turn(NOON + MINUTE).events] == [EventType.COMPLETED]
    assert discovery.turn(NOON + 2 * MINUTE).events == []
    fetched(document, NOON + 3 * MINUTE)
    ended(tracking, run_name="better")
    assert discovery.turn(NOON + 4 * MINUTE).events == [], "its event is unfinished"
    settle()
    assert discovery.turn(NOON + 3 * MINUTE).events == [], "the fetch began after the look"
    assert len(discovery.turn(NOON + 5 * MINUTE).events) == 1


@tables
def test_the_end_and_a_change_are_one_event(tracking: FakeTracking, discovery: Discovery) -> None:
    fetched(tracking.run("r1", metrics=[LOSS]), NOON - MINUTE)
    ended(tracking, run_name="better")
    assert [event.type for event in discovery.turn(NOON + MINUTE).events] == [EventType.COMPLETED]


@tables
def test_a_recent_change_is_found_while_the_search_of_all_waits(tracking: FakeTracking, discovery: Discovery) -> None:
    fetched(ended(tracking), NOON + SECOND)
    long_ago = {"end_time": ms(NOON - 2 * RECENT)}
    fetched(ended(tracking, "r2", **long_ago), NOON + SECOND)
    tracking.seconds = 60.0
    assert discovery.turn(NOON + MINUTE).events == []
    ended(tracking, run_name="better")
    ended(tracking, "r2", run_name="better too", **long_ago)
    assert [event.run_id for event in discovery.turn(NOON + 2 * MINUTE).events] == ["r1"]
    tracking.clock += 7200.0
    assert [event.run_id for event in discovery.turn(NOON + 3 * MINUTE).events] == ["r2"]


@tables
def test_a_run_that_was_reopened_is_in_progress_again(tracking: FakeTracking, discovery: Discovery) -> None:
    fetched(ended(tracking), NOON + SECOND)
    document = tracking.run("r1", metrics=[LOSS])
    (event,) = discovery.turn(NOON + MINUTE).events
    assert (event.type, event.status, event.end_time) == (EventType.CHANGED, "RUNNING", None)
    run = Run.objects.get()
    assert (run.status, run.end_time) == ("RUNNING", None)
    settle()
    fetched(document, NOON + 2 * MINUTE)
    ended(tracking, end_time=ms(NOON + 5 * MINUTE))
    (event,) = discovery.turn(NOON + 6 * MINUTE).events
    assert (event.type, event.end_time) == (EventType.COMPLETED, NOON + 5 * MINUTE)


@tables
def test_a_look_from_before_the_end_reopens_nothing(tracking: FakeTracking, discovery: Discovery) -> None:
    fetched(ended(tracking), NOON - SECOND)
    tracking.run("r1", metrics=[LOSS])
    discovery.turn(NOON - timedelta(milliseconds=500))
    assert Run.objects.get().status == "FINISHED"


@tables
@pytest.mark.parametrize(("newest", "found"), [(NOON - 5 * MINUTE, 1), (NOON - 30 * SECOND, 0)])
def test_a_run_in_progress_that_logs_nothing_is_compared_too(
    tracking: FakeTracking, discovery: Discovery, newest: datetime, found: int
) -> None:
    """While it logs, its values tell."""
    fetched(tracking.run("r1", metrics=[metric(newest)]), NOON)
    tracking.run("r1", metrics=[metric(newest)], run_name="better")
    assert len(discovery.turn(NOON + MINUTE).events) == found


@tables
def test_a_change_keeps_the_place_in_the_list(tracking: FakeTracking, discovery: Discovery) -> None:
    fetched(ended(tracking), NOON + SECOND)
    Run.objects.update(announced_at=NOON)
    ended(tracking, run_name="better")
    discovery.turn(NOON + MINUTE)
    assert Run.objects.get().announced_at == NOON


@tables
def test_deletion_and_restoration_need_no_fetch(
    tracking: FakeTracking, discovery: Discovery, queued: list[str]
) -> None:
    fetched(ended(tracking), NOON + SECOND)
    ended(tracking, lifecycle_stage="deleted")
    ended(tracking, "unknown", lifecycle_stage="deleted")
    assert discovery.turn(NOON + MINUTE, dry_run=True).deleted == []
    report = discovery.turn(NOON + MINUTE)
    assert (report.deleted, report.events, str(report)) == (["r1"], [], f"{NOTHING}; deleted: 1")
    assert Run.objects.get().deleted_at == NOON + MINUTE
    assert discovery.turn(NOON + 2 * MINUTE).deleted == []
    ended(tracking, lifecycle_stage="active")
    report = discovery.turn(NOON + 3 * MINUTE)
    assert (report.restored, str(report)) == (["r1"], f"{NOTHING}; restored: 1")
    assert Run.objects.get().deleted_at is None
    assert queued == []


NOTHING = "unannounced runs: 0 ended, 0 in progress"

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
texts = st.dictionaries(names, names, max_size=3)
stamps = st.integers(0, 2**44)
values = st.floats() | st.sampled_from([math.nan, math.inf, -math.inf])
points = st.lists(st.tuples(st.integers(-5, 5), values, stamps), min_size=1, max_size=5)


@given(name=names, params=texts, tags=texts, metrics=st.dictionaries(names, points, max_size=3), end=st.none() | stamps)
def test_a_fetched_run_has_the_digest_of_its_description(
    name: str, params: dict[str, str], tags: dict[str, str], metrics: dict[str, list[Any]], end: int | None
) -> None:
    kept = {key: Points.of(*columns(of_key)) for key, of_key in metrics.items()}
    run = FetchedRun("r1", EXPERIMENT, name, "FINISHED", moment(1000), moment(end), params, tags, kept)
    described: dict[str, Any] = {
        "info": {"run_id": "r1", "run_name": name, "status": "FINISHED", "start_time": 1000, "end_time": end},
        "data": {
            "params": [{"key": key, "value": value} for key, value in params.items()],
            "tags": [{"key": key, "value": value} for key, value in tags.items()],
            "metrics": [latest(key, kept[key]) for key in kept],
        },
    }
    if not name and "mlflow.runName" in tags:
        return
    found = digest_of_found(described, EXPERIMENT)
    assert digest_of(run) == digest_of(run.printable()) == found
    described["data"]["metrics"].append({"key": "one more", "value": 1, "step": 0, "timestamp": 0})
    assert digest_of_found(described, EXPERIMENT) != found


def columns(found: list[tuple[int, float, int]]) -> tuple[Any, Any, Any]:
    steps, numbers, times = zip(*found, strict=True)
    return np.array(steps, dtype=np.int64), np.array(numbers, dtype=np.float64), np.array(times, dtype=np.int64)


def latest(key: str, of_key: Points) -> dict[str, Any]:
    """As MLflow writes it in JSON."""
    step, time, value = of_key.last()
    written: float | str = "NaN" if math.isnan(value) else value
    if math.isinf(value):
        written = math.copysign(float(MLFLOW_INFINITY), value)
    return {"key": key, "value": written, "step": str(step), "timestamp": str(time)}
