"""Sampling compared with a naive reference in plain Python, on inputs by Hypothesis."""

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from workers.documents.sample import align, best_position, envelope, interval_of, kept, round_significant
from workers.history.points import Indices, Values

lengths, intervals, budgets = st.integers(0, 3000), st.integers(1, 50), st.integers(3, 300)
odd = st.sampled_from([0.0, -0.0, math.nan, math.inf, -math.inf, 5e-324, 1.7976931348623157e308])
floats = st.floats(allow_nan=True, allow_infinity=True) | odd
values_of = arrays(np.float64, st.integers(1, 400), elements=floats)
# Includes decimals with one digit too many, a 5, which are halves.
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.builds(
    lambda whole, shift: float(f"{whole}5e{shift}"), st.integers(-(10**9), 10**9), st.integers(-40, 40)
)

Test = Callable[..., None]


def holds(*strategies: st.SearchStrategy[Any]) -> Callable[[Test], Test]:
    """Test a property. No deadline, because the machine may be busy."""
    return lambda test: settings(deadline=None, max_examples=200)(given(*strategies)(test))


@st.composite
def sampled(draw: st.DrawFn) -> tuple[Values, Indices]:
    """A curve and the positions that its overview keeps."""
    values = draw(values_of)
    return values, kept(len(values), draw(st.integers(1, 20)), draw(budgets), best_position(values))


@st.composite
def curves(draw: st.DrawFn) -> tuple[list[int], list[float], list[int]]:
    """Steps, values, and an axis with all the steps, with or without gaps."""
    axis = draw(
        st.lists(st.integers(-(2**40), 2**40), max_size=60, unique=True).map(sorted)
        | st.builds(lambda first, length: list(range(first, first + length)), st.integers(-9, 9), st.integers(0, 60))
    )
    steps = [step for step in axis if draw(st.booleans())]
    return steps, draw(st.lists(floats, min_size=len(steps), max_size=len(steps))), axis


def naively_kept(length: int, interval: int, budget: int, best: int | None) -> list[int]:
    while True:
        grid = {position for position in range(length) if position % interval == 0 or position == length - 1}
        if len(grid) < budget or len(grid) == length <= budget or not length:
            return sorted(grid | ({best} if best is not None else set()))
        interval *= 2


def naive_stretches(values: Values, positions: Indices) -> list[list[float]]:
    """The finite values of each stretch."""
    begins = [0, *(position + 1 for position in positions.tolist()[:-1])]
    ends = [*(position + 1 for position in positions.tolist()[:-1]), len(values)]
    return [
        [value for value in values[begin:end].tolist() if math.isfinite(value)]
        for begin, end in zip(begins, ends, strict=True)
    ]


@holds(lengths, intervals, budgets, st.data())
def test_kept_agrees_with_the_reference(length: int, interval: int, budget: int, data: st.DataObject) -> None:
    best = data.draw(st.none() | st.integers(0, length - 1)) if length else None
    positions = kept(length, interval, budget, best)
    assert positions.tolist() == naively_kept(length, interval, budget, best)
    assert positions.dtype == np.int64


@holds(lengths, intervals, budgets, st.data())
def test_first_last_and_best_are_kept_within_the_budget(
    length: int, interval: int, budget: int, data: st.DataObject
) -> None:
    assume(length)
    best = data.draw(st.integers(0, length - 1))
    positions = kept(length, interval, budget, best).tolist()
    assert {0, length - 1, best} <= set(positions)
    assert positions == sorted(set(positions))
    assert len(positions) <= budget


@holds(lengths, intervals, budgets, st.data())
def test_the_grid_depends_only_on_the_length(length: int, interval: int, budget: int, data: st.DataObject) -> None:
    assume(length)
    grid = set(kept(length, interval, budget).tolist())
    for best in data.draw(st.lists(st.integers(0, length - 1), max_size=3)):
        assert set(kept(length, interval, budget, best).tolist()) == grid | {best}
    step = interval_of(length, interval, budget)
    assert step % interval == 0
    assert all(position % step == 0 for position in grid - {length - 1})


@holds(lengths, intervals, budgets, st.data())
def test_sampling_a_sample_keeps_all_of_it(length: int, interval: int, budget: int, data: st.DataObject) -> None:
    best = data.draw(st.none() | st.integers(0, length - 1)) if length else None
    once = kept(length, interval, budget, best)
    again = once[kept(len(once), 1, budget)]
    np.testing.assert_array_equal(once, again)


@holds(sampled())
def test_no_extreme_is_lost(curve: tuple[Values, Indices]) -> None:
    values, positions = curve
    low, high = envelope(values, positions)
    assert len(low) == len(high) == len(positions)
    stretch = np.searchsorted(positions, np.arange(len(values)))
    finite = np.isfinite(values)
    assert (low[stretch][finite] <= values[finite]).all()
    assert (high[stretch][finite] >= values[finite]).all()
    if finite.any():
        assert np.nanmin(low) == values[finite].min()
        assert np.nanmax(high) == values[finite].max()


@holds(values_of, st.data())
def test_an_envelope_agrees_with_the_reference(values: Values, data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.integers(0, len(values) - 1), min_size=1, max_size=20, unique=True).map(sorted))
    positions = np.array(chosen, dtype=np.int64)
    low, high = envelope(values, positions)
    stretches = naive_stretches(values, positions)
    np.testing.assert_array_equal(low, [min(stretch, default=math.nan) for stretch in stretches])
    np.testing.assert_array_equal(high, [max(stretch, default=math.nan) for stretch in stretches])


@holds(sampled())
def test_the_envelope_of_a_kept_whole_curve_is_the_curve(curve: tuple[Values, Indices]) -> None:
    values, positions = curve
    once = values[positions]
    low, high = envelope(once, np.arange(len(once)))
    finite = np.where(np.isfinite(once), once, np.nan)
    np.testing.assert_array_equal(low, finite)
    np.testing.assert_array_equal(high, finite)


@holds(curves())
def test_align_agrees_with_the_reference(curve: tuple[list[int], list[float], list[int]]) -> None:
    steps, values, axis = curve
    aligned = align(np.array(steps, np.int64), np.array(values, np.float64), np.array(axis, np.int64))
    by_step = dict(zip(steps, values, strict=True))
    np.testing.assert_array_equal(aligned, [by_step.get(step, math.nan) for step in axis])


@holds(values_of)
def test_the_best_is_the_first_of_the_smallest_finite(values: Values) -> None:
    finite = [(value, position) for position, value in enumerate(values.tolist()) if math.isfinite(value)]
    assert best_position(values) == (min(finite)[1] if finite else None)


@holds(values_of, intervals, budgets)
def test_the_same_curve_gives_the_same_overview(values: Values, interval: int, budget: int) -> None:
    def overview(values: Values) -> list[Values]:
        positions = kept(len(values), interval, budget, best_position(values))
        return [positions.astype(float), *map(round_significant, (values[positions], *envelope(values, positions)))]

    before = values.copy()
    for first, second in zip(overview(values), overview(before), strict=True):
        np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(values, before)


@holds(st.lists(numbers, min_size=1, max_size=50), st.integers(1, 15))
def test_rounding_is_exact_in_decimals(values: list[float], digits: int) -> None:
    for value, rounded in zip(values, round_significant(np.array(values), digits).tolist(), strict=True):
        expected = float(f"{value:.{digits - 1}e}")
        assert rounded == (expected if math.isfinite(expected) else value)


@holds(numbers.filter(bool), st.integers(1, 15))
def test_rounding_moves_by_half_a_unit_of_the_last_digit_at_most(value: float, digits: int) -> None:
    # Subnormal float64 numbers have fewer digits.
    assume(abs(value) >= np.finfo(np.float64).tiny)
    rounded = float(round_significant(np.array([value]), digits)[0])
    notation = Decimal(repr(rounded)).normalize()
    if rounded != value:
        assert len(notation.as_tuple().digits) <= digits
    unit = Decimal(1).scaleb(Decimal(value).adjusted() - digits + 1)
    assert abs(notation - Decimal(value)) <= unit / 2


@holds(values_of, st.integers(1, 15))
def test_rounding_is_idempotent(values: Values, digits: int) -> None:
    once = round_significant(values, digits)
    np.testing.assert_array_equal(round_significant(once, digits), once)
    assert once.shape == values.shape
    np.testing.assert_array_equal(np.isfinite(once), np.isfinite(values))
