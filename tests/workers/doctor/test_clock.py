"""Clocks: what is tolerated, and what is said of the rest."""

from __future__ import annotations

import pytest

from tests.workers.doctor.seen import the_failure, the_warning
from workers.doctor.clock import difference

NOW = 1_700_000_000.0


@pytest.mark.parametrize("ahead", [0, 4, -4, 6.5])
def test_a_slow_answer_or_cut_seconds_are_no_difference(ahead: float) -> None:
    assert list(difference("it", NOW + ahead, NOW - 1, NOW + 2, resolution=1)) == []


def test_ten_seconds_are_a_warning() -> None:
    assert "10 s ahead of" in the_warning(difference("it", NOW + 10, NOW, NOW))
    assert "10 s behind" in the_warning(difference("it", NOW - 10, NOW, NOW))


def test_an_hour_is_a_failure() -> None:
    assert "its clock is 1.0 h ahead of this machine's → Set both clocks" in the_failure(
        difference("it", NOW + 3600, NOW, NOW)
    )
    assert "2.0 d behind" in the_failure(difference("it", NOW - 2 * 86_400, NOW, NOW))
