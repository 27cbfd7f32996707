"""Properties of fetches: both routes give the same run, by MLflow's rules; incremental fetches equal a whole one."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.fetch.fake_mlflow import LARGEST, RUN_ID, FakeMlflow
from workers.fetch.fetcher import Fetcher, TrackingServer
from workers.history.fetched import FetchedRun
from workers.history.ndjson import read_run, write_run

Point = tuple[int, float | str, int]
UNHURRIED = settings(deadline=None)
"""No deadline, because the machine may be busy."""
WAYS = pytest.mark.parametrize("bulk", [False, True], ids=["stock", "bulk"])
KEYS = st.sampled_from(["loss", "val loss", "a/b", "système.été"])
VALUES: st.SearchStrategy[float | str] = st.floats(-LARGEST, LARGEST) | st.sampled_from(
    ["NaN", LARGEST, -LARGEST, 0.0, -1.0]
)
POINTS: st.SearchStrategy[Point] = st.tuples(st.integers(-5, 12), VALUES, st.integers(0, 6))


def unique(points: list[Point]) -> list[Point]:
    """MLflow stores equal points once, and returns a metric's points by timestamp."""
    # Its databases treat 0 and -0 as equal.
    kept = {(step, str(float(value) + 0.0), time): (step, value, time) for step, value, time in points}
    return sorted(kept.values(), key=lambda point: (point[2], point[0]))


METRICS = st.dictionaries(KEYS, st.lists(POINTS, min_size=1, max_size=25).map(unique))


def fetcher(wire: FakeMlflow) -> Fetcher:
    return Fetcher(TrackingServer("default", "http://mlflow.test"), concurrency=2, transport=wire)


def naive(points: list[Point]) -> list[tuple[int, int, float]]:
    """Step, time and value of each point, without NumPy: in MLflow's order, where NaN counts as 0."""

    def rank(point: tuple[int, int, float]) -> tuple[int, int, float, bool]:
        step, time, number = point
        return step, time, 0.0 if math.isnan(number) else number, math.isnan(number)

    numbers = [(step, time, float(value)) for step, value, time in points]
    found = [(step, time, math.copysign(math.inf, n) if abs(n) == LARGEST else n) for step, time, n in numbers]
    return sorted(found, key=rank)


def assert_same(one: FetchedRun, other: FetchedRun) -> None:
    assert replace(one, points={}) == replace(other, points={})
    assert one.points.keys() == other.points.keys()
    for key, points in one.points.items():
        found = other.points[key]
        assert points.steps.tolist() == found.steps.tolist(), key
        assert points.timestamps.tolist() == found.timestamps.tolist(), key
        assert np.array_equal(points.values, found.values, equal_nan=True), key


@UNHURRIED
@given(METRICS, st.integers(1, 7), st.booleans(), st.booleans())
def test_both_routes_give_what_mlflow_has(
    metrics: dict[str, list[Point]], page_size: int, pages: bool, short_history: bool
) -> None:
    stock = FakeMlflow(metrics, page_size=page_size, pages=pages, short_history=short_history)
    run = fetcher(stock).fetch(RUN_ID)
    assert_same(fetcher(FakeMlflow(metrics, bulk=True)).fetch(RUN_ID), run)
    assert run.curves.keys() == metrics.keys()
    for key, points in metrics.items():
        steps, times, values = zip(*naive(points), strict=True)
        found = run.points[key]
        assert (found.steps.tolist(), found.timestamps.tolist()) == (list(steps), list(times))
        assert np.array_equal(found.values, values, equal_nan=True)


@st.composite
def growths(draw: st.DrawFn) -> list[dict[str, list[Point]]]:
    """Stages of a growing run.

    Metrics appear and stop, each continues from its own last step, and some repeat that step. Now and then, one
    restarts from an earlier step and runs past its previous end.
    """
    metrics: dict[str, list[Point]] = {}
    stages, time = [], 0
    for _ in range(draw(st.integers(2, 5))):
        for key in draw(st.lists(KEYS, max_size=4, unique=True)):
            points = metrics.get(key, [])
            last = max((step for step, _, _ in points), default=draw(st.integers(-3, 3)) - 1)
            back = draw(st.sampled_from([0, 0, 0, 0, 1, 3]))
            steps = range(last + 1 - back, last + 1 + draw(st.integers(1, 4)), draw(st.sampled_from([1, 1, 1, 2])))
            time += 1
            metrics = {**metrics, key: unique([*points, *((step, draw(VALUES), time) for step in steps)])}
        stages.append(metrics)
    return stages


@WAYS
@UNHURRIED
@given(stages=growths(), restart=st.booleans())
def test_incremental_fetches_equal_a_whole_one(bulk: bool, stages: list[dict[str, list[Point]]], restart: bool) -> None:
    wire = FakeMlflow({}, bulk=bulk, status="RUNNING")
    reader = fetcher(wire)
    kept = None
    for stage in stages:
        wire.metrics = {**stage}
        run = reader.fetch(RUN_ID, kept=kept)
        assert_same(run, fetcher(wire).fetch(RUN_ID))
        # A worker that restarts only has the store's copy.
        kept = read_run(write_run(run)) if restart else run
