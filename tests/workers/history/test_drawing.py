"""What is drawn where a step repeats: every point is in one place, and the rule says in which."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from workers.history.drawing import MOST_SEGMENTS, Curve, drawn, shared
from workers.history.points import Points

POINTS = st.lists(
    st.tuples(st.integers(-2, 6), st.integers(0, 12), st.floats(width=16)), min_size=1, max_size=60, unique_by=repr
)


def of(*points: tuple[int, int, float]) -> Points:
    """Points as (step, time, value)."""
    steps, times, values = zip(*points, strict=True)
    return Points.of(np.array(steps), np.array(values, dtype=np.float64), np.array(times))


def shown(curve: Curve | Points) -> list[tuple[int, float]]:
    return list(zip(curve.steps.tolist(), curve.values.tolist(), strict=True))


def triples(points: Points | Curve) -> list[str]:
    return list(
        map(repr, zip(points.steps.tolist(), points.timestamps.tolist(), (points.values + 0.0).tolist(), strict=True))
    )


def test_points_of_one_step_are_drawn_by_time() -> None:
    curve = drawn(of((0, 30, 3.0), (0, 10, 1.0), (0, 20, 2.0), (0, 20, 1.5)))
    assert curve.counted_at == 0
    assert shown(curve) == [(0, 1.0), (1, 1.5), (2, 2.0), (3, 3.0)]


def test_steps_that_begin_again_are_another_segment() -> None:
    first = [(step, step, 1.0) for step in range(5)]
    again = [(step, 100 + step, 2.0) for step in range(3)]
    curve = drawn(of(*first, *again))
    assert shown(curve) == [(0, 2.0), (1, 2.0), (2, 2.0)]
    assert [shown(segment) for segment in curve.earlier] == [[(step, 1.0) for step in range(5)]]
    assert curve.replaced is None


def test_a_run_resumed_from_a_checkpoint_is_one_curve() -> None:
    curve = drawn(of(*[(step, step, 1.0) for step in range(8)], *[(step, 100 + step, 2.0) for step in range(5, 10)]))
    assert shown(curve) == [(step, 1.0 if step < 5 else 2.0) for step in range(10)]
    assert curve.earlier == ()
    assert curve.replaced
    assert shown(curve.replaced) == [(5, 1.0), (6, 1.0), (7, 1.0)]


def test_steps_that_count_down_are_one_segment() -> None:
    assert drawn(of(*[(9 - at, at, 1.0) for at in range(10)], (4, 20, 2.0))).earlier == ()


def test_a_metric_that_jumps_back_and_forth_has_a_bounded_number_of_segments() -> None:
    curve = drawn(of(*[(at % 2, at, float(at)) for at in range(10_000)]))
    assert shown(curve) == [(0, 9998.0), (1, 9999.0)]
    assert len(curve.earlier) == MOST_SEGMENTS - 1
    assert curve.replaced
    assert len(curve.replaced) == 10_000 - 2 * MOST_SEGMENTS


@given(POINTS)
def test_every_point_is_in_one_place(points: list[tuple[int, int, float]]) -> None:
    all_points = of(*points)
    curve = drawn(all_points)
    if curve.is_counted:
        assert curve.steps.tolist() == list(range(len(all_points)))
        assert len({step for step, _, _ in points}) == 1
        return
    places = [*triples(curve), *(text for part in curve.earlier for text in triples(part))]
    places += triples(curve.replaced) if curve.replaced else []
    assert Counter(places) == Counter(triples(all_points))
    for steps in (curve.steps, *(part.steps for part in curve.earlier)):
        assert (np.diff(steps) > 0).all()


@given(POINTS)
def test_a_summary_has_mlflows_numbers(points: list[tuple[int, int, float]]) -> None:
    all_points = of(*points)
    summary = all_points.summary()
    rank = sorted(
        zip(all_points.steps.tolist(), all_points.timestamps.tolist(), all_points.values.tolist(), strict=True),
        key=lambda point: (point[0], point[1], 0.0 if math.isnan(point[2]) else point[2], math.isnan(point[2])),
    )
    finite = [value for *_, value in rank if math.isfinite(value)]
    assert summary["count"] == len(rank)
    for name, point in (("first", rank[0]), ("last", rank[-1])):
        told = summary[name]  # type: ignore[literal-required]
        assert (told["step"], told["time"], repr(float(told["value"]))) == (point[0], point[1], repr(point[2]))
    low, high = summary["min"], summary["max"]
    assert (low and low["value"], high and high["value"]) == ((min(finite), max(finite)) if finite else (None, None))
    assert summary["nan"] + summary["infinity"] + summary["minus_infinity"] == len(rank) - len(finite)


@given(st.lists(POINTS, max_size=5))
def test_equal_arrays_are_one_and_nothing_else_changes(points: list[list[tuple[int, int, float]]]) -> None:
    curves = {f"m{number}": drawn(of(*one)) for number, one in enumerate(points)}
    found = shared(curves)
    assert {key: triples(curve) for key, curve in found.items()} == {key: triples(it) for key, it in curves.items()}
    for name in ("steps", "timestamps"):
        arrays = [getattr(curve, name) for curve in found.values()]
        assert len({id(array) for array in arrays}) == len({array.tobytes() for array in arrays})
