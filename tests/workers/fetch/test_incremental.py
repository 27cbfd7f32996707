"""Incremental fetches: the requests for a run of which a part is kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.workers.fetch.fake_mlflow import RUN_ID, FakeMlflow, Points
from workers.fetch.fetcher import Fetcher, TrackingServer
from workers.history.fetched import FetchedRun


def running(bulk: bool, **metrics: Points) -> FakeMlflow:
    return FakeMlflow(metrics, status="RUNNING", bulk=bulk)


def line(count: int, begin: int = 0) -> Points:
    return [(step, step / 10, step) for step in range(begin, count)]


def fetch(wire: FakeMlflow, kept: FetchedRun | None = None) -> FetchedRun:
    run = Fetcher(TrackingServer("default", "http://mlflow.test"), transport=wire).fetch(RUN_ID, kept=kept)
    assert run.curves.keys() == wire.metrics.keys()
    for key, points in wire.metrics.items():
        assert run.curves[key].steps.tolist() == sorted({step for step, _, _ in points})
    return run


def asked_from(wire: FakeMlflow) -> list[int | None]:
    """The ``from_step`` of each request to the bulk route."""
    return [int(query["from_step"]) if "from_step" in query else None for query in wire.asked("/history")]


def test_the_bulk_route_is_requested_from_the_last_step_on() -> None:
    kept = fetch(running(True, loss=line(50), val_loss=line(50), final_loss=[(0, 0.5, 60)]))
    wire = running(True, loss=line(53), val_loss=line(53), final_loss=[(0, 0.5, 60)])
    fetch(wire, kept)
    assert asked_from(wire) == [49]


def test_it_is_requested_again_from_the_last_step_of_a_slower_metric() -> None:
    kept = fetch(running(True, loss=line(50), val_loss=line(41)))
    wire = running(True, loss=line(53), val_loss=line(51))
    fetch(wire, kept)
    assert asked_from(wire) == [49, 40]


def test_a_metric_without_new_points_changes_no_request() -> None:
    kept = fetch(running(True, loss=line(50), warmup=line(5)))
    wire = running(True, loss=line(53), warmup=line(5))
    fetch(wire, kept)
    assert asked_from(wire) == [49]


@pytest.mark.parametrize(
    "now",
    [
        {"loss": line(53), "new": line(1)},
        {"loss": [*line(50), *((step, 9.0, 100 + step) for step in range(40, 60))]},
        {"loss": [*line(50), (49, 9.0, 100)]},
    ],
    ids=["a new metric", "steps logged again", "the last step logged again"],
)
def test_a_run_that_can_not_be_continued_is_fetched_whole(now: dict[str, Points]) -> None:
    kept = fetch(running(True, loss=line(50)))
    wire = running(True, **now)
    fetch(wire, kept)
    assert asked_from(wire) == [49, None]


@pytest.mark.parametrize("bulk", [False, True], ids=["stock", "bulk"])
def test_a_point_logged_late_for_an_earlier_step_shows_when_the_run_ends(bulk: bool) -> None:
    kept = fetch(running(bulk, loss=line(50)))
    late = [*line(50), (7, 9.0, 100)]
    while_running = fetch(running(bulk, loss=late), kept)
    assert while_running.curves["loss"].values[7] == 0.7
    ended = fetch(FakeMlflow({"loss": late}, bulk=bulk), while_running)
    assert ended.curves["loss"].values[7] == 9.0


def test_a_run_with_steps_logged_twice_is_fetched_whole() -> None:
    points = [*line(50), (3, 7.0, 99)]
    kept = fetch(running(True, loss=points))
    wire = running(True, loss=[*points, (50, 5.0, 100)])
    fetch(wire, kept)
    assert asked_from(wire) == [None]


def test_a_run_that_has_ended_is_fetched_whole() -> None:
    kept = fetch(running(True, loss=line(50)))
    wire = FakeMlflow({"loss": [*line(50), (2, 7.0, 99)]}, bulk=True)
    run = fetch(wire, kept)
    assert (run.status, run.points["loss"].repeat) == ("FINISHED", True)
    assert asked_from(wire) == [49, None]
    resumed = running(True, loss=line(52))
    fetch(resumed, run)
    assert asked_from(resumed) == [None]


def test_an_empty_run_is_fetched_whole() -> None:
    wire = running(True, loss=line(3))
    fetch(wire, fetch(running(True)))
    assert asked_from(wire) == [None]


def test_only_metrics_that_moved_are_requested_from_a_stock_server() -> None:
    kept = fetch(
        running(False, loss=line(50), still=line(5), nan=[(0, "NaN", 1)], inf=[(0, 1.7976931348623157e308, 1)])
    )
    wire = running(False, loss=line(53), still=line(5), nan=[(0, "NaN", 1)], inf=[(0, 1.7976931348623157e308, 1)])
    wire.metrics["new"] = line(1)
    run = fetch(wire, kept)
    assert sorted(query["metric_key"] for query in wire.asked("/get-history-bulk")) == ["loss", "new"]
    assert run.points["still"] is kept.points["still"]
    ended = FakeMlflow(wire.metrics)
    fetch(ended, run)
    assert len(ended.asked("/get-history-bulk")) == 5


def test_parameters_tags_and_state_are_always_current() -> None:
    for bulk in (False, True):
        kept = replace(fetch(running(bulk, loss=line(3))), name="old", params={"a": "old"}, tags={})
        wire = FakeMlflow({"loss": line(3)}, {"a": "new"}, status="RUNNING", bulk=bulk)
        run = fetch(wire, kept)
        assert (run.name, run.params, run.tags) == ("quick-test-7", {"a": "new"}, {"mlflow.user": "ada"})
