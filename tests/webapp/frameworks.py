"""Runs of other frameworks, as any MLflow client logs them, made into documents by the workers themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

import numpy as np

from tests.webapp.samples import START, Sample
from warmboard.contract.entries import Entry, EntryKey, Series, Summaries
from workers.documents.run import RunDocuments
from workers.documents.sample import Sampling
from workers.history.fetched import FetchedRun
from workers.history.points import Points

SECONDS_A_STEP = 0.4
SCIKIT_METRICS = {
    "training_accuracy_score": 0.9928, "training_f1_score": 0.9927, "training_log_loss": 0.0641,
    "training_precision_score": 0.993, "training_recall_score": 0.9928, "training_roc_auc": 0.9999,
    "training_score": 0.9928,
}  # fmt: skip
SCIKIT_PARAMS = {
    "bootstrap": "True", "ccp_alpha": "0.0", "class_weight": "None", "criterion": "gini", "max_depth": "8",
    "max_features": "sqrt", "min_samples_leaf": "1", "min_samples_split": "2", "n_estimators": "200", "n_jobs": "-1",
}  # fmt: skip
MACHINE = (
    "cpu_utilization_percentage", "disk_available_megabytes", "disk_usage_megabytes", "disk_usage_percentage",
    "gpu_0_memory_usage_percentage", "gpu_0_power_usage_watts", "gpu_0_utilization_percentage",
    "gpu_10_utilization_percentage", "network_receive_megabytes", "network_transmit_megabytes",
    "system_memory_usage_megabytes", "system_memory_usage_percentage",
)  # fmt: skip
INHERITED = ("constructor", "__proto__", "toString", "hasOwnProperty", "valueOf")
"""Names that every JavaScript object has a member of."""


@dataclass(frozen=True)
class Framework(Sample):
    """``logged`` is one of the methods below; ``size`` is the number of steps, or of metrics in ``many``; ``pending``
    metrics are still to be fetched.
    """

    logged: str = "scikit"
    size: int = 5000
    name: str = "other"
    pending: int = 0

    def nothing(self) -> dict[str, Points]:
        """A run that has just begun."""
        return {}

    def epochs_alone(self) -> dict[str, Points]:
        """The losses of 20 epochs."""
        return self._epochs()

    def scikit(self) -> dict[str, Points]:
        """Autologging: parameters and single values."""
        return {key: _curve([0], [value]) for key, value in SCIKIT_METRICS.items()}

    def steps(self) -> dict[str, Points]:
        """A loss every step, and an accuracy now and then."""
        chance = np.random.default_rng(self.seed)
        steps = np.arange(self.size)
        every = max(self.size // 20, 1)
        seldom = steps[every - 1 :: every]
        loss = 2.3 * np.exp(-3 * steps / self.size) + 0.2 + chance.normal(0, 0.04, self.size)
        loss[self.size // 3] = np.nan
        return {
            "train/loss": _curve(steps, loss),
            "train/lr": _curve(steps, 1e-3 * (1 - steps / self.size)),
            "val/accuracy": _curve(seldom, 0.93 - 0.8 * np.exp(-4 * seldom / self.size)),
        }

    def pytorch(self) -> dict[str, Points]:
        """The same, and what MLflow logs of the machine."""
        chance = np.random.default_rng(self.seed)
        samples = np.arange(200)
        curves = self.steps()
        for name in ("cpu_utilization_percentage", "disk_usage_percentage", "gpu_0_utilization_percentage",
                     "network_receive_megabytes", "system_memory_usage_megabytes"):  # fmt: skip
            curves[f"system/{name}"] = _curve(
                samples, 50 + 20 * np.sin(samples / 9) + chance.normal(0, 4, 200), every=10
            )
        return curves

    def training(self) -> dict[str, Points]:
        """A PyTorch loop: a loss with spikes and NaN at every step, validation now and then, and the machine."""
        chance = np.random.default_rng(self.seed)
        steps, seldom, samples = np.arange(self.size), np.arange(499, self.size, 500), np.arange(self.size // 25)
        loss = 2.3 * np.exp(-4 * steps / self.size) + 0.2 + chance.normal(0, 0.05, self.size)
        loss[chance.integers(0, self.size, 12)] += 6
        loss[[self.size // 3, self.size // 2]] = np.nan
        done = seldom / self.size
        return {
            "train/loss": _curve(steps, loss),
            "train/lr": _curve(steps[::10], 1e-3 * 0.5 * (1 + np.cos(np.pi * steps[::10] / self.size))),
            "val/loss": _curve(seldom, 2.2 * np.exp(-4 * done) + 0.35 + 0.2 * np.maximum(done - 0.7, 0)),
            "val/acc1": _curve(seldom, 0.91 - 0.8 * np.exp(-4 * done)),
        } | {
            f"system/{name}": _curve(samples, 50 + 20 * np.sin(samples / 9) + chance.normal(0, 4, len(samples)), 10)
            for name in MACHINE
        }

    def lightning(self) -> dict[str, Points]:
        """A loss by step and by epoch, and the validation's under the name that Keras gives it."""
        steps, ends = np.arange(0, self.size, 50), np.arange(499, self.size, 500)
        return {
            "train_loss_step": _curve(steps, 2 * np.exp(-3 * steps / self.size)),
            "train_loss_epoch": _curve(ends, 2 * np.exp(-3 * ends / self.size)),
            "val_loss": _curve(ends, 0.3 + 2 * np.exp(-3 * ends / self.size)),
            "val_acc": _curve(ends, 1 - np.exp(-3 * ends / self.size)),
            "lr-Adam": _curve(steps, 1e-3 * np.ones(len(steps))),
            "epoch": _curve(steps, steps // 500),
        }

    def layers(self) -> dict[str, Points]:
        """240 metrics: the loop above, and what each of many layers logs."""
        curves = self.training()
        steps = np.arange(0, self.size, 50)
        for number in range(240 - len(curves)):
            key = f"layers.{number // 4}/{('grad_norm', 'weight_mean', 'weight_std', 'activation_mean')[number % 4]}"
            curves[key] = _curve(steps, np.sin(steps / (300 + number)))
        return curves

    def resumed(self) -> dict[str, Points]:
        """A loss whose steps began again, with points logged twice, and a metric always logged at one step."""
        steps = np.arange(self.size)
        longer = np.arange(2 * self.size)
        twice = np.concatenate([steps, steps[-5:]])
        again = np.concatenate([longer, twice])
        values = np.concatenate([3 * np.exp(-longer / self.size), 2.5 * np.exp(-2 * twice / self.size)])
        times = START.timestamp() * 1000 + np.arange(len(again)) * 1000
        return {
            "train/loss": Points.of(again, values, times.astype(np.int64)),
            "val/score": Points.of(np.zeros(40, dtype=np.int64), np.sqrt(np.arange(40.0)), times[:40].astype(np.int64)),
            "test/loss": Points.of(np.array([7]), np.array([np.inf]), np.array([int(times[-1])])),
        }

    def batches(self) -> dict[str, Points]:
        """The losses of 20 epochs, and one that every batch logs."""
        steps = np.arange(self.size)
        loss = 1 / (1 + steps / 100)
        loss[self.size // 2] = np.nan
        return self._epochs() | {"batch/loss": _curve(steps, loss)}

    def scored(self) -> dict[str, Points]:
        """Keras's usual metrics, and one whose values no browser can draw."""
        steps = np.arange(12)
        falls, rises = 2 / (steps + 1), 1 - 1 / (steps + 2)
        return {
            "loss": _curve(steps, falls),
            "val_loss": _curve(steps, 1.1 * falls),
            "accuracy": _curve(steps, rises),
            "val_accuracy": _curve(steps, 0.9 * rises),
            "huge": _curve(steps, np.where(steps % 2, -1.7e308, 1.7e308)),
        }

    def nanoseconds(self) -> dict[str, Points]:
        """Steps that are times in nanoseconds: neighbours that a browser can't tell apart, and others."""
        order = np.arange(40)
        begin = 1_795_000_000_000_000_000
        return {
            "close": _curve(begin + order, order, every=1e-12),
            "second": _curve(begin + order * 10**9, order, every=1e-12),
        }

    def many(self) -> dict[str, Points]:
        """Thousands of metrics in a few groups, beside the curves of a loss."""
        chance = np.random.default_rng(self.seed)
        steps = np.arange(0, 400, 10)
        curves = self._epochs()
        for number in range(self.size):
            key = f"layer_{number % 40:02}/weight_{number // 40:03}" if number % 4 else f"probe_{number:05}"
            curves[key] = _curve(steps, np.cumsum(chance.normal(0, 1, len(steps))))
        return curves

    def inherited(self) -> dict[str, Points]:
        """Metrics named like inherited members: three by epoch, one with an axis of its own, one single value."""
        epochs = np.arange(self.size)
        named = {name: _curve(epochs, at + self.seed / (1 + epochs)) for at, name in enumerate(INHERITED[:3])}
        steps = np.arange(3 * self.size) * 7
        own = {"hasOwnProperty": _curve(steps, np.sin(steps / self.size))}
        return {"loss": _curve(epochs, np.exp(-epochs / 6))} | named | own | {"valueOf": _curve([0], [self.seed])}

    @staticmethod
    def _epochs() -> dict[str, Points]:
        epochs = np.arange(20)
        return {"loss": _curve(epochs, np.exp(-epochs / 6)), "val_loss": _curve(epochs, 0.1 + np.exp(-epochs / 7))}

    @cached_property
    def documents(self) -> RunDocuments:
        return RunDocuments(self.fetched(), Sampling(interval=5, points=100), datetime.now(UTC))

    def fetched(self) -> FetchedRun:
        curves: Mapping[str, Points] = getattr(self, self.logged)()
        return FetchedRun(
            run_id=self.run_id, experiment_name=self.experiment, name=self.name, status=self.status, start_time=START,
            end_time=START + timedelta(hours=1), params=self.params(), tags=self.tags(), points=curves,
            pending=self.pending,
        )  # fmt: skip

    def entries(self) -> dict[EntryKey, Entry]:
        return self.documents.entries()

    def told(self) -> Summaries:
        return self.documents.summaries()

    def tags(self) -> dict[str, str]:
        named = {name: f"tag {name}" for name in INHERITED} if self.logged == "inherited" else {}
        return {"mlflow.user": "ada", "team": "ranking"} | named

    def params(self) -> dict[str, str]:
        if self.logged == "inherited":
            return {name: f"{at}.{self.seed}" for at, name in enumerate(INHERITED)}
        return SCIKIT_PARAMS if self.logged == "scikit" else {"batch_size": "128", "lr": "0.001", "model": "resnet18"}

    def final_metrics(self) -> dict[str, float | None]:
        return self.documents.final_metrics

    def length(self) -> int:
        return self.documents.length

    def history_length(self) -> int:
        return len(self.documents.epochs)

    def sparkline(self) -> Series:
        return self.documents.sparkline()


def _curve(steps: object, values: object, every: float = SECONDS_A_STEP) -> Points:
    """Values by step, one every so many seconds since the start."""
    where = np.asarray(steps, dtype=np.int64)
    times = START.timestamp() * 1000 + where * every * 1000
    return Points.of(where, np.asarray(values, dtype=np.float64), times.astype(np.int64))
