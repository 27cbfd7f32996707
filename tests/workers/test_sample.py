"""Sampling against a naive reference, on everything Hypothesis thinks of."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from workers.sample import align, best_position, envelope, interval_of, kept

lengths, intervals, budgets = st.integers(0, 3000), st.integers(1, 50), st.integers(10, 300)
anything = arrays(np.float64, st.integers(1, 400), elements=st.floats(allow_nan=True, allow_infinity=True, width=64))


@given(lengths, intervals, budgets)
def test_the_grid_holds_first_and_last_and_keeps_its_budget(length: int, interval: int, budget: int) -> None:
    positions = kept(length, interval, budget).tolist()
    assert positions == sorted(set(positions))
    assert len(positions) <= budget
    if length:
        assert positions[0] == 0
        assert positions[-1] == length - 1
        assert all(position % interval == 0 for position in positions[:-1])


@given(st.integers(1, 3000), intervals, budgets, st.data())
def test_the_best_epoch_is_kept_and_changes_nothing_else(
    length: int, interval: int, budget: int, data: st.DataObject
) -> None:
    best = data.draw(st.integers(0, length - 1))
    assert set(kept(length, interval, budget, best)) == set(kept(length, interval, budget)) | {best}


def test_short_runs_are_sampled_by_the_interval_as_it_is() -> None:
    assert kept(50, 5, 200).tolist() == [*range(0, 50, 5), 49]
    assert interval_of(50, 5, 200) == 5
    assert interval_of(100_000, 5, 200) == 640


@given(anything, st.integers(1, 20), st.data())
def test_no_extreme_is_lost(values: np.ndarray, interval: int, data: st.DataObject) -> None:
    best = data.draw(st.none() | st.integers(0, len(values) - 1))
    positions = kept(len(values), interval, 10_000, best)
    low, high = envelope(values, positions)
    begin = 0
    for index, position in enumerate(positions.tolist()):
        stretch = [value for value in values[begin : position + 1].tolist() if math.isfinite(value)]
        assert (low[index], high[index]) == (min(stretch), max(stretch)) if stretch else math.isnan(low[index])
        begin = position + 1
    finite = values[np.isfinite(values)]
    if len(finite):
        assert np.nanmin(low) == finite.min()
        assert np.nanmax(high) == finite.max()


def test_a_missing_step_leaves_a_gap_and_shifts_nothing() -> None:
    aligned = align(np.array([0, 2, 3]), np.array([1.0, 3.0, 4.0]), np.array([0, 1, 2, 3]))
    np.testing.assert_array_equal(aligned, [1.0, np.nan, 3.0, 4.0])


@given(anything)
def test_the_best_is_the_first_of_the_smallest_finite(values: np.ndarray) -> None:
    finite = [(value, position) for position, value in enumerate(values.tolist()) if math.isfinite(value)]
    assert best_position(values) == (min(finite)[1] if finite else None)
