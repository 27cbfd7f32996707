"""``python -m benchmarks.fits WAY [OTHER]``: train a two-tower model, tracked in one way, and print what it cost.

With a second way, two such trainings take turns in this one process, so that drift of the machine affects both. The
environment names the servers, as for any training.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import keras
import numpy as np

from benchmarks.counted import Counted, counting
from benchmarks.peak import peak
from trainer.model import TwoTower
from warmboard import start_run
from warmboard.keras import MetricsBundle

BUYERS, PRODUCTS = 2_500, 10_000
BATCH, STEPS, EMBEDDING = 2_048, 48, 32
ALONE, TURNS = 10, 8
"""Epochs of a single training; turns of each of two. The first of either traces the graph, and does not count."""
TURN = 2
"""Epochs per turn. The last one is measured, because an epoch's values are sent during the next."""

Callbacks = Sequence[keras.callbacks.Callback]
Way = Callable[[], AbstractContextManager[Callbacks]]
# The original: autologging replaces it.
FIT = keras.Model.fit


class Dropped:
    """A log that drops everything."""

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        pass

    def log_params(self, params: Mapping[str, object]) -> None:
        pass


@dataclass
class Fit:
    """Of each measured epoch: ms of wall and of processor time, calls and bytes sent. Also the peak memory in MiB."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)
    bytes: list[int] = field(default_factory=list)
    peak: float = 0.0
    all_calls: int = 0
    metrics: int = 0


class Timing(keras.callbacks.Callback):  # type: ignore[misc]
    """The last callback: it measures an epoch with everything that callbacks do at its end."""

    def __init__(self, fit: Fit, counted: Counted, measured: Callable[[int], bool]) -> None:
        super().__init__()
        self._fit = fit
        self._counted = counted
        self._measured = measured
        self._began = self._now()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._began = self._now()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self._measured(epoch):
            wall, cpu, calls, sent = (new - old for new, old in zip(self._now(), self._began, strict=True))
            self._fit.wall.append(wall * 1000)
            self._fit.cpu.append(cpu * 1000)
            self._fit.calls.append(int(calls))
            self._fit.bytes.append(int(sent))

    def _now(self) -> tuple[float, float, int, int]:
        return time.perf_counter(), time.process_time(), self._counted.calls, self._counted.bytes


class Turns:
    """Let two trainings, each in its own thread, alternate after every ``TURN`` epochs."""

    def __init__(self) -> None:
        self._mine = [threading.Semaphore(1), threading.Semaphore(0)]

    def callbacks(self, number: int) -> tuple[Any, Any]:
        """This training's first and last callback."""
        mine, others = self._mine[number], self._mine[1 - number]

        def wait(epoch: int, logs: Any) -> None:
            if epoch % TURN == 0:
                mine.acquire()

        def pass_on(epoch: int, logs: Any) -> None:
            if epoch % TURN == TURN - 1:
                others.release()

        first = keras.callbacks.LambdaCallback(on_epoch_begin=wait)
        return first, keras.callbacks.LambdaCallback(on_epoch_end=pass_on)


@contextmanager
def nothing() -> Iterator[Callbacks]:
    yield []


@contextmanager
def dropped() -> Iterator[Callbacks]:
    yield [MetricsBundle(Dropped())]


@contextmanager
def tracked() -> Iterator[Callbacks]:
    with start_run(experiment="tracked") as run:
        yield [MetricsBundle(run)]


@contextmanager
def autolog() -> Iterator[Callbacks]:
    """The defaults, but without saving the model: ours is saved by the trainer, not by tracking."""
    import mlflow

    mlflow.set_experiment("autolog")
    mlflow.tensorflow.autolog(silent=True, log_models=False)
    yield []


WAYS: Mapping[str, Way] = {
    "nothing": nothing,
    "dropped": dropped,
    "tracked": tracked,
    "autolog": autolog,
}


def main() -> None:
    way, *other = sys.argv[1:]
    fits = taking_turns(way, *other) if other else [alone(way)]
    print(json.dumps([asdict(fit) for fit in fits]), flush=True)
    # A run whose server is down takes long to end, which is not measured here.
    os._exit(0)


def alone(way: str) -> Fit:
    """A single training, which can also measure its memory and all that it has sent."""
    fit = Fit()
    with counting() as counted:
        entered = WAYS[way]()
        callbacks = entered.__enter__()
        begun = counted.calls
        # The last epoch's values are sent after the measurement.
        train(way, [*callbacks, Timing(fit, counted, lambda epoch: 1 < epoch < ALONE - 1)], ALONE)
        fit.peak = peak()
        fit.all_calls = counted.calls - begun
        fit.metrics = _metrics_of_autolog() if way == "autolog" else 0
    return fit


def taking_turns(*ways: str) -> list[Fit]:
    """Two trainings. Entries *i* of both were measured in consecutive turns."""
    turns, fits = Turns(), [Fit(), Fit()]

    def measured(epoch: int) -> bool:
        # During the last turn the other training may already be ending.
        return epoch % TURN == TURN - 1 and TURN < epoch < (TURNS - 1) * TURN

    def run(number: int) -> None:
        first, last = turns.callbacks(number)
        callbacks = WAYS[ways[number]]().__enter__()
        train(ways[number], [first, *callbacks, Timing(fits[number], counted, measured), last], TURNS * TURN)

    def fail(failure: threading.ExceptHookArgs) -> None:
        threading.__excepthook__(failure)
        # Otherwise the other training would wait for its turn for ever.
        os._exit(1)

    threading.excepthook = fail
    with counting() as counted:
        threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return fits


def train(way: str, callbacks: Callbacks, epochs: int) -> None:
    keras.utils.set_random_seed(1)
    random = np.random.default_rng(1)
    model = TwoTower(BUYERS, np.full(PRODUCTS, 1 / PRODUCTS), embedding_dim=EMBEDDING, l2=1e-5)
    model.compile(optimizer="adam")
    pairs = {
        "buyer": random.integers(BUYERS, size=BATCH * STEPS, dtype=np.int32),
        "product": random.integers(PRODUCTS, size=BATCH * STEPS, dtype=np.int32),
    }
    fit = keras.Model.fit if way == "autolog" else FIT
    fit(model, pairs, batch_size=BATCH, epochs=epochs, verbose=0, callbacks=list(callbacks))


def _metrics_of_autolog() -> int:
    import mlflow

    return len(mlflow.last_active_run().data.metrics)


if __name__ == "__main__":
    main()
