"""The word for a run's steps."""

from __future__ import annotations

import numpy as np
import pytest

from workers.history.drawing import drawn
from workers.history.points import Points
from workers.history.unit import unit_of

SAME, ONCE, EACH = np.zeros(4, dtype=np.int64), np.array([0]), np.arange(4)


def _points(steps: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Points:
    return Points.of(steps, np.ones(len(steps)), np.arange(len(steps)) * 1000)


@pytest.mark.parametrize(
    ("logged", "unit"),
    [
        ({"train/loss": SAME, "val/loss": SAME}, "point"),
        ({"loss": SAME}, "point"),
        ({"accuracy": SAME, "test_accuracy": ONCE}, "point"),
        ({"train/loss": EACH, "val/loss": SAME}, "step"),
        ({"loss": EACH, "note": SAME}, "epoch"),
        ({"test_accuracy": ONCE}, "step"),
        ({}, "epoch"),
    ],
)
def test_the_word_of_a_run(logged: dict[str, np.ndarray[tuple[int], np.dtype[np.int64]]], unit: str) -> None:
    assert unit_of({key: drawn(_points(steps)) for key, steps in logged.items()}, {}) == unit
