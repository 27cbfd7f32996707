"""Discovery finds runs that no event announced, once, and skips those that were announced."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from kombu.exceptions import OperationalError

from store.models import InboxEvent, QuickTest, Run
from tests.store.samples import NOON, announce
from tests.workers.discover.fake_tracking import DAY, DAYS, MINUTE, SECOND, FakeTracking, metric, ms
from tests.workers.test_inbox import message
from warmboard.contract.events import SWEEP_SOURCE, EventType
from workers import inbox
from workers.discover.discovery import Discovery
from workers.discover.mlflow import MlflowLook
from workers.discover.news import SETTLING
from workers.fetch.server import TrackingServer
from workers.recording import behind
from workers.servers import gate
from workers.settings import Settings

pytestmark = pytest.mark.usefixtures("tables")
State = InboxEvent.State


def rows() -> list[tuple[str, str]]:
    """Source and ID of all events, in the order of arrival."""
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


@pytest.mark.parametrize(
    ("told", "found"), [("11:59:59.100Z", 0), ("12:00:00Z", 0), ("12:30:00Z", 0), ("11:59:58Z", 1)]
)
def test_an_end_with_an_event_is_known(tracking: FakeTracking, discovery: Discovery, told: str, found: int) -> None:
    """An earlier event may be from an end before the run was resumed."""
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
    """As by `python -m workers warm`, without an event."""
    announce("r1")
    Run.objects.update(status=status, fetched_at=fetched)
    tracking.run("r1", "FINISHED", end_time=ms(NOON))
    assert len(discovery.turn(NOON + MINUTE).events) == found


def test_an_end_that_failed_for_good_is_not_recorded_again(tracking: FakeTracking, discovery: Discovery) -> None:
    tracking.run("r1", "FINISHED", end_time=ms(NOON))
    discovery.turn(NOON + MINUTE)
    inbox.give_up(inbox.claim("r1", "w"), "no permission")
    assert discovery.turn(NOON + 2 * MINUTE).events == []


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
def test_a_run_in_progress_without_events_is_fetched(
    tracking: FakeTracking, discovery: Discovery, newest: Any, fetched: Any, found: int
) -> None:
    announce("r1")
    Run.objects.update(status="RUNNING", fetched_at=fetched)
    tracking.run("r1", metrics=[metric(newest)], start_time=ms(NOON - DAY))
    assert len(discovery.turn(NOON).events) == found
    assert discovery.turn(NOON + SECOND).events == []


@pytest.mark.parametrize("outcome", ["pending", "warming", "failed"])
def test_a_run_that_waits_for_a_fetch_or_failed_is_skipped(
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
    assert len(discovery.turn(NOON + 10 * MINUTE).events) == 1, "its end is recorded in any case"


def test_what_is_known_costs_few_queries(tracking: FakeTracking, discovery: Discovery) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert discovery.turn(NOON + MINUTE).events == []
        # PostgreSQL is asked for its time as well.
        return sum("clock_timestamp" not in query["sql"] for query in captured)

    def known_run(number: int) -> None:
        tracking.run(f"r{number}", "FINISHED", end_time=ms(NOON))
        completed(f"r{number}", "2026-01-02T12:00:00Z")

    known_run(0)
    one = queries()
    for number in range(1, 90):
        known_run(number)
    assert queries() == one <= 6


def test_the_newest_come_first_and_the_rest_when_there_is_room(
    tracking: FakeTracking, discovery: Discovery, queued: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.discover.discovery.OUTSTANDING", 2)
    for number in range(5):
        tracking.run(f"r{number}", "FINISHED", end_time=ms(NOON) + number)
    report = discovery.turn(NOON + MINUTE)
    assert (queued, report.more) == (["r4", "r3"], True)
    assert discovery.turn(NOON + MINUTE).events == [], "no worker took the first two yet"
    for run_id in ("r4", "r3"):
        inbox.finish(inbox.claim(run_id, "w"))
    assert str(discovery.turn(NOON + MINUTE)).endswith("more at the next turn")
    for run_id in ("r2", "r1"):
        inbox.finish(inbox.claim(run_id, "w"))
    assert discovery.turn(NOON + MINUTE).more is False
    assert queued == ["r4", "r3", "r2", "r1", "r0"]


def test_a_dry_run_only_reports(tracking: FakeTracking, discovery: Discovery, queued: list[str]) -> None:
    tracking.run("r1", "FINISHED", end_time=ms(NOON))
    tracking.run("r2")
    for _ in range(2):
        report = discovery.turn(NOON + MINUTE, dry_run=True)
        assert str(report) == "unannounced runs: 1 ended, 1 in progress"
    assert (rows(), queued) == ([], [])


def test_a_server_that_is_down_is_logged_once_and_does_not_stop_the_others(
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
        assert all("answers 503" in report.down["MLflow 'default'"] for report in reports)
        assert queued == ["r2"]
        tracking.status = 200
        gate.reopen("default")
        assert discovery.turn(NOON + MINUTE).down == {}
    assert queued == ["r2", "r1"]
    said = [record.getMessage() for record in caplog.records if "searched" in record.getMessage()]
    assert len(said) == 2
    assert said[1] == "MLflow 'default' can be searched again"
    assert InboxEvent.objects.get(run_id="r2").event().tracking_server == "eu"


def test_a_server_that_is_known_to_be_down_is_not_asked(tracking: FakeTracking, discovery: Discovery) -> None:
    gate.close("default", "connection refused")
    assert "connection refused" in discovery.turn(NOON).down["MLflow 'default'"]
    assert tracking.asked == 0


def test_a_server_that_refuses_one_search_is_not_down(tracking: FakeTracking, discovery: Discovery) -> None:
    tracking.run("r1", "FINISHED", end_time=ms(NOON))
    tracking.refused = "runs"
    assert "answered 500" in discovery.turn(NOON + MINUTE).down["MLflow 'default'"]
    assert gate.states() == {}


def test_with_redis_down_the_sweep_of_the_inbox_queues_the_runs(
    tracking: FakeTracking, look: MlflowLook, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[str] = []

    def dispatch(run_id: str) -> None:
        tries.append(run_id)
        raise OperationalError("connection refused")

    for number in range(3):
        tracking.run(f"r{number}", "FINISHED", end_time=ms(NOON))
    assert len(Discovery([look], dispatch).turn(NOON + MINUTE).events) == 3
    assert len(tries) == 1, "it would be down for the others, too"
    assert "Redis is down" in caplog.text
    later = timezone.now() + inbox.dispatch_grace()
    assert inbox.due(later) == [], "they wait behind all others"
    assert behind.due(later) == ["r0", "r1", "r2"]
    assert behind.due(later) == []


def test_all_configured_servers_and_the_files_are_looked_at() -> None:
    others = "eu=http://eu.test,us=http://us.test"
    given = {"MLFLOW_TRACKING_SERVER": "main", "MLFLOW_TRACKING_SERVERS": others, "OUTPUT_URI": "gs://b/runs"}
    looks: Sequence[Any] = Discovery.of(Settings.read(given), lambda _: None)._looks
    assert [look.place for look in looks] == ["MLflow 'main'", "MLflow 'eu'", "MLflow 'us'", "OUTPUT_URI gs://b/runs"]
