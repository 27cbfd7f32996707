"""``python -m benchmarks.fits WAY``: trains a two-tower model that is tracked in one way, and prints what it took.

The servers are named by the environment, as for any training.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2", "TF_ENABLE_ONEDNN_OPTS": "0"}

import keras
import numpy as np

from benchmarks.counted import Counted, counting
from benchmarks.peak import peak
from trainer import tracked_run
from trainer.callbacks import GradientStatistics, Losses, WarmboardCallback, WeightNorms, WeightStatistics
from trainer.model import TwoTower

BUYERS, PRODUCTS = 2_500, 10_000
BATCH, STEPS, EMBEDDING = 2_048, 48, 32
EPOCHS = 10
"""Of which 8 are measured: the first traces, and of the last nobody sees the end."""
FIRST = 1

Callbacks = Sequence[keras.callbacks.Callback]
Way = Callable[[], AbstractContextManager[Callbacks]]


class Notes:
    """A log that keeps or drops what it is told."""

    def __init__(self, keep: bool) -> None:
        self._keep = keep
        self.kept: list[Mapping[str, object]] = []

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        self._note(values)

    def log_params(self, params: Mapping[str, object]) -> None:
        self._note(params)

    def _note(self, values: Mapping[str, object]) -> None:
        if self._keep:
            self.kept.append(dict(values))


@dataclass
class Fit:
    """What the measured epochs took, each in ms of time and of the processor; what they sent; MiB at the peak."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)
    bytes: list[int] = field(default_factory=list)
    peak: float = 0.0
    all_calls: int = 0
    metrics: int = 0


class Timing(keras.callbacks.Callback):  # type: ignore[misc]
    """From the beginning of an epoch to that of the next: with all that callbacks do in between."""

    def __init__(self, fit: Fit, counted: Counted) -> None:
        super().__init__()
        self._fit = fit
        self._counted = counted
        self._last: tuple[float, float, int, int] | None = None

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        now = time.perf_counter(), time.process_time(), self._counted.calls, self._counted.bytes
        if self._last and epoch > FIRST:
            wall, cpu, calls, sent = (new - old for new, old in zip(now, self._last, strict=True))
            self._fit.wall.append(wall * 1000)
            self._fit.cpu.append(cpu * 1000)
            self._fit.calls.append(int(calls))
            self._fit.bytes.append(int(sent))
        self._last = now


@contextmanager
def nothing() -> Iterator[Callbacks]:
    yield []


@contextmanager
def dropped() -> Iterator[Callbacks]:
    yield [WarmboardCallback(Notes(keep=False))]


@contextmanager
def gradients() -> Iterator[Callbacks]:
    yield [GradientStatistics(Notes(keep=True))]


@contextmanager
def tracked() -> Iterator[Callbacks]:
    with tracked_run(experiment="tracked") as run:
        yield [run.callback()]


@contextmanager
def losses_and_weights() -> Iterator[Callbacks]:
    with tracked_run(experiment="losses and weights") as run:
        yield [Losses(run), WeightNorms(run), WeightStatistics(run)]


@contextmanager
def tensorflow_autolog() -> Iterator[Callbacks]:
    """As it comes, but for the model, which it would keep at the end: ours is kept by the trainer, not by tracking."""
    import mlflow

    mlflow.set_experiment("tensorflow autolog")
    mlflow.tensorflow.autolog(silent=True, log_models=False)
    yield []


@contextmanager
def keras_autolog() -> Iterator[Callbacks]:
    """The newer one, for Keras 3."""
    import mlflow

    mlflow.set_experiment("keras autolog")
    mlflow.keras.autolog(silent=True, log_models=False)
    yield []


WAYS: Mapping[str, Way] = {
    "nothing": nothing,
    "dropped": dropped,
    "gradients": gradients,
    "tracked": tracked,
    "losses and weights": losses_and_weights,
    "mlflow.tensorflow.autolog": tensorflow_autolog,
    "mlflow.keras.autolog": keras_autolog,
}
AUTOLOGS = tuple(way for way in WAYS if way.startswith("mlflow."))


def main() -> None:
    way, fit = WAYS[sys.argv[1]], Fit()
    with counting() as counted:
        entered = way()
        callbacks = entered.__enter__()
        begun = counted.calls
        train(callbacks, Timing(fit, counted))
        fit.peak = peak()
        fit.all_calls = counted.calls - begun
        fit.metrics = _metrics_of_autolog() if sys.argv[1] in AUTOLOGS else 0
    print(json.dumps(asdict(fit)), flush=True)
    # A run whose server is away would take its time to end, which is not what is measured.
    os._exit(0)


def train(callbacks: Callbacks, timing: Timing) -> None:
    keras.utils.set_random_seed(1)
    random = np.random.default_rng(1)
    model = TwoTower(BUYERS, np.full(PRODUCTS, 1 / PRODUCTS), embedding_dim=EMBEDDING, l2=1e-5)
    model.compile(optimizer="adam")
    pairs = {
        "buyer": random.integers(BUYERS, size=BATCH * STEPS, dtype=np.int32),
        "product": random.integers(PRODUCTS, size=BATCH * STEPS, dtype=np.int32),
    }
    model.fit(pairs, batch_size=BATCH, epochs=EPOCHS, verbose=0, callbacks=[*callbacks, timing])


def _metrics_of_autolog() -> int:
    import mlflow

    return len(mlflow.last_active_run().data.metrics)


if __name__ == "__main__":
    main()
