"""Runs whose numbers are hard to keep: they differ in the ninth digit, end outside a sample, or are not finite."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.webapp.frameworks import Framework
from tests.webapp.samples import START, Sample
from warmboard.contract.entries import Entry, EntryKey
from workers.history.points import Indices, Points

CLOSE = 123_456_787
"""Runs with seeds 1 and 2 end with the two numbers after it, which have the same eight digits."""
HOSTILE = {
    "=1+1": "-0.5", "@note": "=2+3", "+plus": "+5", "text": 'Zürich, "groß"\r\nand more', "-dash": "- not a number",
    "tab": "\tx", "digits": "1e-05",
}  # fmt: skip
"""Parameters that a spreadsheet may evaluate, or that a writer may spoil."""
UNUSUAL = [
    0.1 + 0.2, 5e-324, -1.7976931348623157e307, 1e21, 1e-7, 123456788.0, 123456789.0, 1 / 3, -0.0, 2.0**53,
    math.nan, math.inf, -math.inf,
]  # fmt: skip


@dataclass(frozen=True)
class Numbers(Framework):
    def close(self) -> dict[str, Points]:
        """600 epochs, of which an overview keeps every sixth."""
        epochs = np.arange(600)
        score = CLOSE - 1000 + np.minimum(epochs, 599) * 1.0
        score[-1] = CLOSE + self.seed
        return {
            "loss": _points(epochs, np.exp(-epochs / 100)),
            "val_score": _points(epochs, score),
            # Its last step is none that an overview keeps; the value before is another.
            "val_loss": _points(epochs[:-2], np.append(np.exp(-epochs[:-3] / 90), self.seed / 8)),
            "ends/nan": _points(epochs, np.append(epochs[:-1], np.nan)),
            "ends/high": _points(epochs, np.append(epochs[:-1], np.inf)),
            "ends/low": _points(epochs, np.append(epochs[:-1], -np.inf)),
            "constructor": _points(epochs, epochs * self.seed),
            "__proto__": _points(epochs, epochs / (2 + self.seed)),
            "own/axis": _points(np.arange(50) * 70 + 3, np.arange(50) + self.seed / 4),
            "single": _points([0], [self.seed]),
            # A later point of the same step, and of the same time: MLflow's last is the greatest value.
            "again": Points.of(
                np.array([3, 9, 9, 9]), np.array([1.0, 2.0, 8.0 + self.seed, 5.0]), np.array([10, 20, 30, 30])
            ),
        }

    def tiny(self) -> dict[str, Points]:
        """Values that float64 has fewest bits for."""
        return {"loss": _points(np.arange(20), np.arange(20, 0, -1) * 5e-323)}

    def by_point(self) -> dict[str, Points]:
        """All points at step 0; a run with an odd seed logged the same metric by step."""
        values = np.sqrt(np.arange(1.0, 41.0)) * self.seed
        times = (START.timestamp() * 1000 + np.arange(40) * 1000).astype(np.int64)
        steps = np.arange(40) if self.seed % 2 else np.zeros(40, dtype=np.int64)
        return {"val/score": Points.of(steps, values, times), "train/loss": _points(np.arange(40), 1 / values)}

    def counting_steps(self) -> dict[str, Points]:
        """Steps that are no epochs."""
        steps = np.arange(0, 20_000, 50)
        return {"train/loss": _points(steps, np.exp(-steps / 5000)), "val/loss": _points(steps[::20], 1 + steps[::20])}

    def generated(self) -> dict[str, Points]:
        """Metrics of any shape: steps repeat and begin again, values are of any size or not finite."""
        return {key: Points.of(*map(np.array, zip(*raw, strict=True))) for key, raw in self.raw().items()}

    def raw(self) -> dict[str, list[tuple[int, float, int]]]:
        """The points of ``generated``, as logged: step, value, timestamp."""
        chance = random.Random(f"raw {self.seed // 10}")
        shapes = [(f"gen/{number:02}_loss", chance.randint(1, 400)) for number in range(30)]
        chance = random.Random(f"raw {self.seed}")
        return {key: _any_points(chance, size) for key, size in shapes if chance.random() < 0.9}

    def params(self) -> dict[str, str]:
        return HOSTILE | {"seed": str(self.seed)}


@dataclass(frozen=True)
class Clocks(Framework):
    """The losses of 20 epochs, timed by a clock that is wrong."""

    def seconds(self) -> dict[str, Points]:
        return self._timed(lambda times: times // 1000)

    def nanoseconds(self) -> dict[str, Points]:
        return self._timed(lambda times: times * 1_000_000)

    def own(self) -> dict[str, Points]:
        return self._timed(lambda times: times - times[0])

    def back(self) -> dict[str, Points]:
        return self._timed(lambda times: np.append(times[:10], times[10:] - 60_000))

    def right(self) -> dict[str, Points]:
        return self._timed(lambda times: times)

    def _timed(self, clock: Callable[[Indices], Indices]) -> dict[str, Points]:
        steps = np.arange(20)
        times = clock((START.timestamp() * 1000 + steps * 3000).astype(np.int64))
        return {key: Points.of(steps, most * np.exp(-steps / 9), times) for key, most in (("loss", 2), ("val_loss", 3))}


@dataclass(frozen=True)
class Untold(Sample):
    """As an older worker warmed it: without summaries."""

    def entries(self) -> dict[EntryKey, Entry]:
        return {key: entry for key, entry in super().entries().items() if key.name != "summaries"}


def _any_points(chance: random.Random, size: int) -> list[tuple[int, float, int]]:
    start, spread = int(START.timestamp() * 1000), chance.choice([1, 3, 1000])
    points = []
    for number in range(size):
        step = number if spread == 1000 else chance.randrange(-1, size * spread)
        value = chance.choice(UNUSUAL) if chance.random() < 0.2 else chance.gauss(0, 10 ** chance.uniform(-9, 9))
        points.append((step, value, start + chance.randrange(4) * 1000 + number))
    return points


def _points(steps: Any, values: Any) -> Points:
    where = np.asarray(steps, dtype=np.int64)
    times = START.timestamp() * 1000 + where * 400
    return Points.of(where, np.asarray(values, dtype=np.float64), times.astype(np.int64))
