"""``python -m benchmarks.steps gradients|tracking``: two models that train in turns, a few ms apart, in one process.

``gradients``: a step with gradient statistics, and one without. ``tracking``: a tracked epoch of a few steps, and one
with the same callbacks whose log drops everything. Drift of the machine over seconds, which distorts long epochs,
affects both alike. Prints each turn's ms of wall time and of processor time. The environment names the servers.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import keras
import numpy as np

from benchmarks.fits import BATCH, BUYERS, EMBEDDING, PRODUCTS, Dropped, dropped, tracked
from benchmarks.fits import STEPS as LONG
from trainer.model import TwoTower
from warmboard.keras import GradientStatistics

STEPS = 600
"""Steps of each model in ``gradients``."""
EPOCHS, SHORT = 160, 4
"""Epochs of each model in ``tracking``, and the steps of each."""
WARM_UP = 20
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}

Turn = Callable[[], object]


def main() -> None:
    keras.utils.set_random_seed(1)
    {"gradients": gradients, "tracking": tracking}[sys.argv[1]]()
    # A run whose server is down takes long to end, which is not measured here.
    os._exit(0)


def gradients() -> None:
    models = [_model(), _model()]
    counted = GradientStatistics(Dropped())
    counted.set_model(models[0])
    counted.on_train_begin()
    counted.on_epoch_begin(0)
    _tell(_in_turn([_step(model) for model in models], STEPS))
    if not counted.values(0, {}):
        raise RuntimeError("no gradient was counted: both models trained without statistics")


def tracking() -> None:
    """Measure short epochs: tracking works at an epoch's end, whatever its steps, so short ones show its cost best."""
    ways = [way().__enter__() for way in (tracked, dropped)]
    told = _in_turn([_short_epoch(callbacks) for callbacks in ways], EPOCHS)
    step = _step(_model())
    steps, _ = _in_turn([step, step], WARM_UP)
    added = {
        clock: [one - other for one, other in zip(told[0][clock], told[1][clock], strict=True)] for clock in CLOCKS
    }
    epoch = {
        clock: statistics.median(told[1][clock]) + (LONG - SHORT) * statistics.median(steps[clock]) for clock in CLOCKS
    }
    _tell({clock: {"added": added[clock], "epoch": epoch[clock]} for clock in CLOCKS})


def _in_turn(turns: Sequence[Turn], times: int) -> list[dict[str, list[float]]]:
    took: list[dict[str, list[float]]] = [{clock: [] for clock in CLOCKS} for _ in turns]
    for number in range(times + WARM_UP):
        # They take turns in going first.
        for which in (0, 1) if number % 2 else (1, 0):
            began = [now() for now in CLOCKS.values()]
            turns[which]()
            for (clock, now), then in zip(CLOCKS.items(), began, strict=True):
                if number >= WARM_UP:
                    took[which][clock].append((now() - then) * 1000)
    return took


def _short_epoch(callbacks: Sequence[keras.callbacks.Callback]) -> Turn:
    """The work of `fit` from one epoch's end to the next one's: an epoch's values are sent during the next epoch."""
    model = _model()
    step, epochs = _step(model), count()
    called = keras.callbacks.CallbackList(list(callbacks), model=model)
    called.on_train_begin()
    called.on_epoch_begin(0)
    step()

    def epoch() -> None:
        number = next(epochs)
        called.on_epoch_end(number, {"loss": 1 / (number + 1)})
        called.on_epoch_begin(number + 1)
        for batch in range(SHORT):
            called.on_train_batch_begin(batch)
            step()
            called.on_train_batch_end(batch, {})

    return epoch


def _step(model: Any) -> Turn:
    random = np.random.default_rng(1)
    batches = [
        {"buyer": random.integers(BUYERS, size=BATCH, dtype=np.int32),
         "product": random.integers(PRODUCTS, size=BATCH, dtype=np.int32)}
        for _ in range(8)
    ]  # fmt: skip
    numbers = count()
    return lambda: model.train_on_batch(batches[next(numbers) % len(batches)])


def _model() -> Any:
    model = TwoTower(BUYERS, np.full(PRODUCTS, 1 / PRODUCTS), embedding_dim=EMBEDDING, l2=1e-5)
    model.compile(optimizer="adam")
    return model


def _tell(took: object) -> None:
    print(json.dumps(took), flush=True)


if __name__ == "__main__":
    main()
