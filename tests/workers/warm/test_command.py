"""Warming by hand: how fast it goes, and what it says of failures."""

from __future__ import annotations

import pytest

from workers.warm import command
from workers.warm.command import Pace, Report


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_at_most_so_many_runs_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(command, "time", clock)
    pace = Pace(4)
    for took in (0.0, 0.1, 3.0, 0.0):
        pace.wait()
        clock.now += took
    pace.wait()
    assert clock.slept == pytest.approx([0, 0.25, 0.15, 0, 0.25]), "what was late is not made up for"


def test_without_a_rate_nothing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(command, "time", clock)
    pace = Pace(None)
    for _ in range(3):
        pace.wait()
    assert clock.now == 0


def test_failures_are_told_by_their_reason() -> None:
    failed = {f"r{number}": "MLflow is down" for number in range(1_200)} | {"odd": "not found"}
    assert list(Report(failed=failed).reasons()) == [
        "failed: r0, r1, r2 and 1,197 more: MLflow is down",
        "failed: odd: not found",
    ]
