"""Realistic values of a two-tower run: falling losses, bell-shaped histograms that become wider."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.runs import BINS, epoch_keys
from warmboard.contract.catalogue import PLACES, STEM
from warmboard.contract.entries import Tower

EDGES = np.linspace(-1, 1, BINS + 1)
WEIGHTS = 400_000
"""The number of weights of a tower."""
MANY = 2_000
LOSSES = [key for key, path in PLACES.items() if path[0] == "loss"]


def two_towers(epochs: int) -> Iterator[dict[str, float]]:
    """The values of each epoch by MLflow's keys: the 127 of the catalogue and the learning rate, which has a chart."""
    random = np.random.default_rng(1)
    others = [key for key in epoch_keys() if "_bin_" not in key and key not in LOSSES]
    for epoch in range(epochs):
        falling = np.exp(-3 * epoch / epochs)
        values = {key: float(falling * random.uniform(0.98, 1.02) + 0.1 * number)
                  for number, key in enumerate(LOSSES)}  # fmt: skip
        values["learning_rate"] = 1e-3 * float(falling)
        values |= {key: float((1 - falling) * random.uniform(0.95, 1.05) + number) for number, key in enumerate(others)}
        for stem in stems():
            counts = counts_of(stem, epoch / epochs)
            values |= {f"{stem}_bin_{number}": float(count) for number, count in enumerate(counts)}
        yield values


def many_metrics(epochs: int) -> Iterator[dict[str, float]]:
    """The same, filled up to ``MANY`` metrics, in groups of fifty."""
    random = np.random.default_rng(2)
    for values in two_towers(epochs):
        more = range(MANY - len(values))
        yield values | {f"layer_{number // 50}/metric_{number % 50}": float(random.normal()) for number in more}


def stems() -> list[str]:
    """The prefixes of the keys of the four histograms: ``query_hist``, …"""
    return [f"{tower}_{stem}" for tower in Tower for stem in STEM.values()]


def counts_of(stem: str, progress: float) -> list[int]:
    """The counts of one histogram's 25 bins, ``progress`` (0 to 1) into the training."""
    width = (0.1 + 0.02 * stems().index(stem)) * (1 + 2 * progress)
    middles = (EDGES[1:] + EDGES[:-1]) / 2
    density = np.exp(-((middles / width) ** 2) / 2)
    return [int(count) for count in WEIGHTS * density / density.sum()]
