"""Rules about time: clocks that can't be right, epochs that become slower, single slow epochs, and throughput."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from warmboard.contract.entries import Insight
from workers.insights.run import Run
from workers.insights.trend import EARLIEST, median, possible
from workers.insights.words import count, duration, figure, insight_of

FEWEST_COMPARED = 10
SLOW = 8.0
"""Multiple of the median. Evaluation and checkpoints make an epoch only a few times longer."""
SLOW_LEAST = 10_000.0
"""Milliseconds above the median. A shorter delay does not matter."""
SLOW_SHARE = 0.05
"""Max share of slow epochs. More are a pattern of the training, not an accident."""
SLOWING = 2.0
SLOWING_LEAST = 1000.0
"""Milliseconds per epoch."""


def slowing_down(run: Run) -> Iterator[Insight]:
    """Find epochs that take at least twice as long at the end as at the beginning."""
    if run.timing is None or len(run.timing.lasted) < 2 * FEWEST_COMPARED:
        return
    quarter = len(run.timing.lasted) // 4
    first, last = run.timing.lasted[:quarter], run.timing.lasted[-quarter:]
    before, after = median(first), median(last)
    apart = np.percentile(last, 25) > np.percentile(first, 75)
    if apart and after >= SLOWING * before and after - before >= SLOWING_LEAST:
        text = (
            f"{run.unit.capitalize()}s have become slower: {duration(before)} at first, {duration(after)} at the end."
        )
        steps = run.timing.steps
        yield insight_of("slowing-down", "warning", text, run.timed_by, int(steps[-quarter]), int(steps[-1]))


def slow_epochs(run: Run) -> Iterator[Insight]:
    """Find single epochs that took far longer than the others."""
    if run.timing is None or len(run.timing.lasted) < FEWEST_COMPARED:
        return
    lasted, usual = run.timing.lasted, run.timing.usual
    slow = np.flatnonzero((lasted > SLOW * usual) & (lasted - usual > SLOW_LEAST))
    if 0 < len(slow) <= max(1, SLOW_SHARE * len(lasted)):
        steps = run.timing.steps[slow + 1]
        longest = int(np.argmax(lasted[slow]))
        took = float(lasted[slow[longest]])
        others = f"; {count(len(slow) - 1, 'other')} took far longer than usual too" if len(slow) > 1 else ""
        text = (
            f"{run.unit.capitalize()} {steps[longest]} took {duration(took)}, {took / usual:,.0f} times the median of "
            f"{duration(usual)}{others}."
        )
        yield insight_of("slow-epochs", "info", text, run.timed_by, int(steps[0]), int(steps[-1]))


def clock(run: Run) -> Iterator[Insight]:
    """Say that the times can't be right, so that nothing is concluded from them."""
    curve = run.curves[run.timed_by] if run.timed_by else None
    if curve is None or possible(curve):
        return
    early = curve.timestamps.min() < EARLIEST
    when, unit = ("of 1970", "in seconds") if early else ("after 2099", "in a finer unit")
    text = f"The times of {run.timed_by} can't be right: they are {when}, as if they were logged {unit}."
    yield insight_of("clock", "warning", text, run.timed_by, int(curve.steps[0]), int(curve.steps[-1]))


def throughput(run: Run) -> Iterator[Insight]:
    """State the median time of an epoch."""
    if run.timing:
        usual, steps = run.timing.usual, run.timing.steps
        period, length = ("a minute", 60_000) if usual <= 60_000 else ("an hour", 3_600_000)
        rate = figure(length / usual)
        units = run.unit if rate == "1" else f"{run.unit}s"
        text = f"{run.unit.capitalize()}s took {duration(usual)} each (median): {rate} {units} {period}."
        yield insight_of("throughput", "info", text, run.timed_by, int(steps[0]), int(steps[-1]))
