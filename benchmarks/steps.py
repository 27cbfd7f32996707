"""``python -m benchmarks.steps``: one model's training steps with gradient statistics and another's without, in turn.

Prints the ms of each, of the wall's clock and of the processor. Steps that alternate are a few ms apart: what drifts on
a machine over seconds, which epochs can't escape, drifts for both.
"""

from __future__ import annotations

import json
import time
from typing import Any

import keras
import numpy as np

from benchmarks.fits import BATCH, BUYERS, EMBEDDING, PRODUCTS, Dropped
from trainer.callbacks import GradientStatistics
from trainer.model import TwoTower

STEPS, WARM_UP = 600, 20


def main() -> None:
    keras.utils.set_random_seed(1)
    random = np.random.default_rng(1)
    batches = [
        {"buyer": random.integers(BUYERS, size=BATCH, dtype=np.int32),
         "product": random.integers(PRODUCTS, size=BATCH, dtype=np.int32)}
        for _ in range(8)
    ]  # fmt: skip
    models = [_model() for _ in range(2)]
    statistics = GradientStatistics(Dropped())
    statistics.set_model(models[0])
    statistics.on_train_begin()
    statistics.on_epoch_begin(0)
    wall: list[list[float]] = [[], []]
    cpu: list[list[float]] = [[], []]
    for step in range(STEPS + WARM_UP):
        # Each goes first in turn.
        for number in (0, 1) if step % 2 else (1, 0):
            began = time.perf_counter(), time.process_time()
            models[number].train_on_batch(batches[step % len(batches)])
            ended = time.perf_counter(), time.process_time()
            if step >= WARM_UP:
                wall[number].append((ended[0] - began[0]) * 1000)
                cpu[number].append((ended[1] - began[1]) * 1000)
    if not statistics.values(0, {}):
        raise RuntimeError("no gradient was counted: both models trained without statistics")
    print(json.dumps([{"wall": wall[number], "cpu": cpu[number]} for number in range(2)]), flush=True)


def _model() -> Any:
    model = TwoTower(BUYERS, np.full(PRODUCTS, 1 / PRODUCTS), embedding_dim=EMBEDDING, l2=1e-5)
    model.compile(optimizer="adam")
    return model


if __name__ == "__main__":
    main()
