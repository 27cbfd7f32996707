"""Insights about time: throughput, slow epochs, and epochs that become slower."""

import re

import numpy as np
import pytest

from tests.workers.insights.samples import (
    curve,
    falling,
    found,
    noise,
    the,
)
from workers.history.drawing import Curve


def test_throughput() -> None:
    insight = the({"loss": curve(falling(20), seconds=12.3)}, "throughput")
    assert insight["text"] == "Epochs took 12.3 s each (median): 4.878 epochs a minute."
    steps = {"loss": curve(falling(20), steps=range(500, 10_001, 500), seconds=0.12)}
    assert the(steps, "throughput")["text"] == "Steps took 120 ms each (median): 500 steps a minute."
    assert (
        "90 min each (median): 0.6667 steps an hour."
        in the({"x": curve(falling(9), seconds=5400)}, "throughput")["text"]
    )


@pytest.mark.parametrize(("apart", "unit"), [(1, "Epochs"), (5, "Epochs"), (20, "Steps")])
def test_the_unit_of_steps(apart: int, unit: str) -> None:
    """Some runs log every fifth epoch, but none every twentieth."""
    assert the({"loss": curve(falling(20), steps=range(0, 20 * apart, apart))}, "throughput")["text"].startswith(unit)


def test_timing_needs_three_points_and_one_second() -> None:
    assert found({"loss": curve([2, 1])}, "throughput") == []
    assert found({"loss": curve(falling(10), seconds=0.1)}, "throughput") == []
    assert found({"loss": curve(falling(10), seconds=0.2)}, "throughput")
    assert found({"system/cpu": curve(np.ones(50))}, "throughput") == []


@pytest.mark.parametrize("seconds", [0, 0.001, -10], ids=["all at once", "as fast as written", "backwards"])
def test_useless_timestamps_give_no_throughput(seconds: float) -> None:
    assert found({"loss": curve(falling(20), seconds=seconds)}, "throughput") == []


def test_slow_epochs() -> None:
    seconds = np.full(50, 60.0)
    seconds[20] = 18_000
    insight = the({"loss": curve(falling(50), seconds=seconds)}, "slow-epochs")
    assert insight["text"] == "Epoch 20 took 5 h, 300 times the median of 60 s."
    assert insight["epochs"] == [20]
    seconds[40] = 1200
    insight = the({"loss": curve(falling(50), seconds=seconds)}, "slow-epochs")
    assert insight["text"].endswith("; 1 other took far longer than usual too.")
    assert insight["epochs"] == [20, 40]


def test_the_limits_of_slow_epochs() -> None:
    every_fifth, some, short = np.full(50, 10.0), np.full(50, 10.0), np.full(50, 1.0)
    every_fifth[::5], some[20], short[20] = 200, 75, 10.5
    for seconds in (every_fifth, some, short, np.array([10, 10, 900])):
        assert found({"loss": curve(falling(len(seconds)), seconds=seconds)}, "slow-epochs") == []
    some[20], short[20] = 85, 11.5
    for seconds in (some, short):
        assert found({"loss": curve(falling(50), seconds=seconds)}, "slow-epochs")


def test_slowing_down() -> None:
    seconds = np.concatenate([np.full(30, 10), np.full(20, 31)]) * noise(1, 50, 0.1)
    insight = the({"loss": curve(falling(50), seconds=seconds)}, "slowing-down")
    assert re.fullmatch(r"Epochs have become slower: [\d.]+ s at first, [\d.]+ s at the end.", insight["text"])
    assert (insight["severity"], insight["epochs"]) == ("warning", [38, 49])


def test_no_slowing_down() -> None:
    wild = 10 * noise(1, 50, 1.0)
    mixed = np.array(([10.0] * 7 + [40.0] * 5) + [10.0] * 24 + ([10.0] * 5 + [40.0] * 7))
    for seconds in (np.linspace(10, 15, 50), wild, mixed, np.linspace(0.1, 0.9, 50), np.linspace(10, 50, 15)):
        assert found({"loss": curve(falling(len(seconds)), seconds=seconds)}, "slowing-down") == []


@pytest.mark.parametrize(
    ("factor", "said"),
    [(1e-3, "of 1970, as if they were logged in seconds"), (1e6, "after 2099, as if they were logged in a finer unit")],
)
def test_nothing_is_concluded_from_times_that_can_not_be_right(factor: float, said: str) -> None:
    right = curve(falling(20), seconds=60.0)
    wrong = Curve(right.steps, right.values, (right.timestamps * factor).astype(np.int64))
    insight = the({"loss": wrong}, "clock")
    assert said in insight["text"]
    assert insight["severity"] == "warning"
    assert [found({"loss": wrong}, rule) for rule in ("throughput", "slow-epochs", "slowing-down")] == [[], [], []]
    assert found({"loss": right}, "clock") == []
