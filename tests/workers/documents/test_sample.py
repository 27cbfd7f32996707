"""Sampling by example: the rule of its page, and each function's edge cases and errors."""

import doctest

import numpy as np
import pytest

from tests.paths import ROOT
from workers.documents.sample import align, best_position, envelope, interval_of, kept, round_significant

PAGE = ROOT / "docs" / "reference" / "sampling.md"


def test_the_example_in_the_docs_is_true() -> None:
    results = doctest.testfile(str(PAGE), module_relative=False)
    assert results.attempted >= 10
    assert results.failed == 0


def test_a_short_run_is_sampled_by_the_given_interval() -> None:
    assert kept(50, 5, 200).tolist() == [*range(0, 50, 5), 49]
    assert interval_of(50, 5, 200) == 5
    assert interval_of(100_000, 5, 200) == 640


def test_a_run_that_fits_the_budget_is_kept_whole_at_an_interval_of_one() -> None:
    assert kept(100, 1, 100, best=7).tolist() == list(range(100))
    assert kept(101, 1, 100).tolist() == [*range(0, 101, 2)]


@pytest.mark.parametrize("length", [0, 1, 2, 3])
def test_the_smallest_runs_are_kept(length: int) -> None:
    assert kept(length, 1, 3).tolist() == list(range(length))
    assert kept(length, 5, 3).tolist() == sorted({0, length - 1} if length else set())


@pytest.mark.parametrize(("interval", "budget"), [(0, 100), (-5, 100), (5, 2), (1, 0)])
def test_an_invalid_interval_or_budget_is_an_error(interval: int, budget: int) -> None:
    with pytest.raises(ValueError, match="at least 1 and 3"):
        interval_of(1000, interval, budget)


def test_an_envelope_covers_values_before_the_first_and_after_the_last_kept_position() -> None:
    low, high = envelope(np.array([9.0, 1.0, 2.0, 3.0, -7.0]), np.array([1, 3]))
    assert (low.tolist(), high.tolist()) == ([1.0, -7.0], [9.0, 3.0])


def test_an_envelope_without_finite_values_is_a_gap() -> None:
    low, high = envelope(np.array([1.0, np.nan, np.inf, -np.inf, 2.0, np.inf]), np.array([0, 3, 5]))
    np.testing.assert_array_equal(low, [1.0, np.nan, 2.0])
    np.testing.assert_array_equal(high, [1.0, np.nan, 2.0])
    assert [len(side) for side in envelope(np.zeros(0), np.zeros(0, dtype=np.int64))] == [0, 0]


@pytest.mark.parametrize("offset", [0, -3])
@pytest.mark.parametrize("stretch", [1, 10], ids=["without gaps", "with gaps"])
def test_a_missing_step_leaves_a_gap_and_shifts_nothing(offset: int, stretch: int) -> None:
    epochs = np.arange(4) * stretch + offset
    aligned = align(epochs[[0, 2, 3]], np.array([1.0, 3.0, 4.0]), epochs)
    np.testing.assert_array_equal(aligned, [1.0, np.nan, 3.0, 4.0])


def test_a_curve_that_has_every_epoch_is_not_copied() -> None:
    values = np.array([1.0, 2.0, 3.0])
    assert align(np.array([0, 2, 4]), values, np.array([0, 2, 4])) is values


@pytest.mark.parametrize(
    ("steps", "epochs"),
    [([1, 2], []), ([0, 4], [0, 1, 2]), ([-1], [0, 1, 2]), ([3], [0, 2, 4]), ([0, 1, 2], [0, 1, 3])],
)
def test_a_step_that_the_axis_lacks_is_an_error(steps: list[int], epochs: list[int]) -> None:
    with pytest.raises(ValueError, match="axis lacks"):
        align(np.array(steps), np.zeros(len(steps)), np.array(epochs, dtype=np.int64))


def test_without_finite_values_there_is_no_best() -> None:
    assert best_position(np.array([np.nan, np.inf, -np.inf])) is None
    assert best_position(np.zeros(0)) is None
    assert best_position(np.array([np.nan, 2.0, 1.0, 1.0])) == 2


@pytest.mark.parametrize(
    ("value", "rounded"),
    [
        ("0.0", "0.0"), ("-0.0", "-0.0"), ("nan", "nan"), ("inf", "inf"), ("-inf", "-inf"),
        ("0.123456784999", "0.12345678"), ("-0.3000000000000001", "-0.3"),
        # Halves: the float64 nearest to 0.123456785 is below it; 123456785 is exact and rounds to the even digit.
        ("0.123456785", "0.12345678"), ("123456785.0", "123456780.0"), ("123456795.0", "123456800.0"),
        # Rounding up adds a digit before the point.
        ("999999995.0", "1000000000.0"), ("9.99999999999", "10.0"), ("0.000999999999", "0.001"),
        # Outside of the exact powers of ten.
        ("1.23456789012e-200", "1.2345679e-200"), ("1.23456789012e+200", "1.2345679e+200"),
        ("5e-324", "5e-324"), ("2.2250738585072014e-308", "2.2250739e-308"),
        ("1.7976931348623157e+308", "1.7976931e+308"),
    ],
)  # fmt: skip
def test_rounding(value: str, rounded: str) -> None:
    assert repr(float(round_significant(np.array([float(value)]))[0])) == rounded


def test_a_value_that_rounding_would_make_infinite_is_kept() -> None:
    assert round_significant(np.array([1.7976931348623157e308]), digits=3).tolist() == [1.7976931348623157e308]


def test_rounding_keeps_the_shape_and_does_not_change_its_argument() -> None:
    values = np.array([[1 / 3, 2 / 3], [np.nan, 1e-30 / 3]])
    assert round_significant(values, digits=2).tolist()[0] == [0.33, 0.67]
    assert values[0, 0] == 1 / 3
    assert round_significant(np.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("digits", [0, 16])
def test_digits_that_float64_does_not_have_are_an_error(digits: int) -> None:
    with pytest.raises(ValueError, match="1 to 15"):
        round_significant(np.array([1.0]), digits)
