"""What is written out for speed says what NumPy's own functions say."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from workers.history.points import Values
from workers.insights.trend import _running_median, median

VALUES = arrays(np.float64, st.integers(1, 40), elements=st.floats(allow_subnormal=False))


@given(VALUES)
def test_the_median_is_numpys(values: Values) -> None:
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(median(values), np.median(values))


@given(VALUES, st.sampled_from([1, 3, 5, 25]))
def test_running_medians_repeat_the_outermost(values: Values, window: int) -> None:
    if len(values) < window:
        values = np.resize(values, window)
    windows = [np.sort(values[begin : begin + window])[window // 2] for begin in range(len(values) - window + 1)]
    half = window // 2
    expected = [*[windows[0]] * half, *windows, *[windows[-1]] * half]
    np.testing.assert_array_equal(_running_median(values, window), expected)
