"""A run as lines of JSON: the golden run, round trips, lines cut off anywhere, and memory use."""

from __future__ import annotations

import io
import math
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import orjson
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.paths import EXAMPLES
from workers.history import ndjson
from workers.history.fetched import FetchedRun
from workers.history.ndjson import NotWholeError, read_lines, read_run, split_lines, write_run
from workers.history.points import Points

GOLDEN = EXAMPLES / "run-history.ndjson"
UNHURRIED = settings(deadline=None)
"""No deadline, because the machine may be busy."""
INT64 = st.integers(-(2**63), 2**63 - 1)
# A curve never has MLflow's substitutes for ±∞.
FLOATS = st.floats(width=64).filter(lambda value: abs(value) != np.finfo(np.float64).max)
MOMENTS = st.none() | st.integers(1, 10**13).map(lambda time: datetime.fromtimestamp(time / 1000, UTC))


@st.composite
def points(draw: st.DrawFn) -> Points:
    steps = draw(st.lists(INT64, min_size=1, max_size=8))
    values, times = (draw(st.lists(kind, min_size=len(steps), max_size=len(steps))) for kind in (FLOATS, INT64))
    return Points.of(np.array(steps), np.array(values), np.array(times))


RUNS = st.builds(
    FetchedRun,
    run_id=st.just("r" * 32),
    experiment_name=st.text(),
    name=st.text(),
    status=st.sampled_from(["RUNNING", "FINISHED"]),
    start_time=MOMENTS,
    end_time=MOMENTS,
    params=st.dictionaries(st.text(), st.text(), max_size=3),
    tags=st.dictionaries(st.text(), st.text(), max_size=3),
    points=st.dictionaries(st.text(), points(), max_size=4),
).map(lambda run: run if run.status == "FINISHED" else replace(run, end_time=None))


def assert_same(one: FetchedRun, other: FetchedRun) -> None:
    assert replace(one, points={}) == replace(other, points={})
    assert list(one.points) == list(other.points)
    for key, points in one.points.items():
        found = other.points[key]
        assert points.steps.tolist() == found.steps.tolist()
        assert points.timestamps.tolist() == found.timestamps.tolist()
        assert np.array_equal(points.values, found.values, equal_nan=True)
        assert [column.dtype for column in (found.steps, found.values, found.timestamps)] == ["i8", "f8", "i8"]


def test_the_golden_run() -> None:
    reading = read_lines(split_lines(GOLDEN.open("rb")))
    run = reading.run
    assert (run.run_id, run.experiment_name, run.name) == ("0123456789abcdef" * 2, "two-tower", "quick-test 42")
    assert run.end_time == datetime(2025, 10, 9, 8, 53, 29, tzinfo=UTC)
    assert run.params == {"epochs": "4", "optimizer": "adagrad"}
    assert run.tags["note"] == "über „Käufer“"
    assert list(run.points) == ["final_loss", "loss", "query_grad_norm", "recall at 5/Käufer", "val_loss"]
    assert run.points["query_grad_norm"].values.tolist() == [0.1, math.inf, 12.0, -math.inf]
    assert np.isnan(run.points["val_loss"].values).tolist() == [False, True, False, True]
    recall = run.points["recall at 5/Käufer"]
    assert (recall.steps.tolist(), recall.values.tolist()) == ([-1, 0, 2, 2], [0.0, 0.0625, 0.1, 0.125])
    assert reading.latest["query_grad_norm"] == (3, 1760000004000, -math.inf)
    assert {key: curve.last() for key, curve in run.points.items() if key != "val_loss"} == {
        key: point for key, point in reading.latest.items() if key != "val_loss"
    }


@UNHURRIED
@given(RUNS)
def test_a_run_round_trips(run: FetchedRun) -> None:
    assert_same(read_run(write_run(run)), run)


@UNHURRIED
@given(RUNS, st.data())
def test_lines_that_are_cut_off_are_an_error(run: FetchedRun, data: st.DataObject) -> None:
    source = write_run(run)
    cut = data.draw(st.integers(0, len(source) - 1))
    with pytest.raises(NotWholeError):
        read_run(source[:cut])


@pytest.mark.parametrize("missing", range(10))
def test_a_missing_line_is_an_error(missing: int) -> None:
    lines = GOLDEN.read_bytes().splitlines()
    with pytest.raises(NotWholeError):
        read_lines([*lines[:missing], *lines[missing + 1 :]])


@pytest.mark.parametrize(
    "line",
    [
        b"<html>",
        b"[]",
        b'{"version": 2}',
        b'{"key": "loss", "axis": 9, "values": [1]}',
        b'{"key": "loss", "axis": 0, "values": [1, 2, 3]}',
        b'{"key": "loss", "axis": 0, "values": ["x"]}',
        b'{"key": "loss", "axis": 0, "values": [null], "non_finite": {"Zero": [0]}}',
    ],
    ids=lambda line: line.decode()[:40],
)
def test_a_wrong_line_is_an_error(line: bytes) -> None:
    lines = GOLDEN.read_bytes().splitlines()
    with pytest.raises(NotWholeError):
        read_lines([line, *lines[1:]] if b"key" not in line else [*lines[:2], line, *lines[2:]])


def test_a_source_of_an_older_version_that_lacks_points_is_an_error() -> None:
    lines = GOLDEN.read_bytes().splitlines()
    lines[4] = b'{"key": "loss", "axis": 1, "values": [1.5, 0.75, 0.5, 0.25], "repeated": 1}'
    with pytest.raises(NotWholeError, match="'loss'"):
        read_lines(lines)


def test_equal_axes_are_written_once() -> None:
    steps, times = np.arange(50), np.arange(50) + 7
    run = run_of({f"m{number}": Points(steps.copy(), np.sin(steps + number), times.copy()) for number in range(20)})
    text = zstandard.ZstdDecompressor().decompressobj().decompress(write_run(run))
    assert sum("steps" in orjson.loads(line) for line in text.splitlines()) == 1
    assert_same(read_run(write_run(run)), run)


def test_a_long_metric_comes_in_several_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ndjson, "LINE_POINTS", 10)
    run = run_of({"m": Points(np.arange(95), np.arange(95) / 3, np.arange(95))})
    text = zstandard.ZstdDecompressor().decompressobj().decompress(write_run(run))
    assert len(text.splitlines()) == 2 + 2 * 10
    assert_same(read_run(write_run(run)), run)


def test_reading_a_million_points_takes_at_most_three_times_their_memory() -> None:
    count = 1_000_000
    source = write_run(run_of({"m": Points(np.arange(count), np.sin(np.arange(count)), np.arange(count) + 10**12)}))
    tracemalloc.start()
    try:
        curve = read_run(source).points["m"]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(curve.steps) == count
    assert peak < 3 * (curve.steps.nbytes + curve.values.nbytes + curve.timestamps.nbytes)


@UNHURRIED
@given(st.binary(max_size=60), st.integers(1, 7))
def test_lines_do_not_depend_on_the_chunks(text: bytes, size: int) -> None:
    class Dribble(io.BytesIO):
        def read(self, _: int | None = -1, /) -> bytes:
            return super().read(size)

    assert list(split_lines(Dribble(text))) == text.split(b"\n")


def run_of(points: dict[str, Points]) -> FetchedRun:
    return FetchedRun("r" * 32, "e", "n", "RUNNING", None, None, {}, {}, points)
