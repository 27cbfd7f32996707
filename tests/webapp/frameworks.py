"""Runs of other frameworks, as any MLflow client logs them, made into documents by the workers themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

import numpy as np

from tests.webapp.samples import START, Sample
from warmboard.contract.entries import Entry, EntryKey, Series
from workers.documents.run import RunDocuments
from workers.documents.sample import Sampling
from workers.history.fetched import Curve, FetchedRun

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
INHERITED = ("constructor", "__proto__", "toString", "hasOwnProperty", "valueOf")
"""Names that every JavaScript object has a member of."""


@dataclass(frozen=True)
class Framework(Sample):
    """``logged`` is one of the methods below; ``size`` is the number of steps, or of metrics in ``many``."""

    logged: str = "scikit"
    size: int = 5000
    name: str = "other"

    def nothing(self) -> dict[str, Curve]:
        """A run that has just begun."""
        return {}

    def epochs_alone(self) -> dict[str, Curve]:
        """The losses of 20 epochs."""
        return self._epochs()

    def scikit(self) -> dict[str, Curve]:
        """Autologging: parameters and single values."""
        return {key: _curve([0], [value]) for key, value in SCIKIT_METRICS.items()}

    def steps(self) -> dict[str, Curve]:
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

    def pytorch(self) -> dict[str, Curve]:
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

    def batches(self) -> dict[str, Curve]:
        """The losses of 20 epochs, and one that every batch logs."""
        steps = np.arange(self.size)
        loss = 1 / (1 + steps / 100)
        loss[self.size // 2] = np.nan
        return self._epochs() | {"batch/loss": _curve(steps, loss)}

    def many(self) -> dict[str, Curve]:
        """Thousands of metrics in a few groups, beside the curves of a loss."""
        chance = np.random.default_rng(self.seed)
        steps = np.arange(0, 400, 10)
        curves = self._epochs()
        for number in range(self.size):
            key = f"layer_{number % 40:02}/weight_{number // 40:03}" if number % 4 else f"probe_{number:05}"
            curves[key] = _curve(steps, np.cumsum(chance.normal(0, 1, len(steps))))
        return curves

    def inherited(self) -> dict[str, Curve]:
        """Metrics named like inherited members: three by epoch, one with an axis of its own, one single value."""
        epochs = np.arange(self.size)
        named = {name: _curve(epochs, at + self.seed / (1 + epochs)) for at, name in enumerate(INHERITED[:3])}
        steps = np.arange(3 * self.size) * 7
        own = {"hasOwnProperty": _curve(steps, np.sin(steps / self.size))}
        return {"loss": _curve(epochs, np.exp(-epochs / 6))} | named | own | {"valueOf": _curve([0], [self.seed])}

    @staticmethod
    def _epochs() -> dict[str, Curve]:
        epochs = np.arange(20)
        return {"loss": _curve(epochs, np.exp(-epochs / 6)), "val_loss": _curve(epochs, 0.1 + np.exp(-epochs / 7))}

    @cached_property
    def documents(self) -> RunDocuments:
        return RunDocuments(self.fetched(), Sampling(interval=5, points=100), datetime.now(UTC))

    def fetched(self) -> FetchedRun:
        curves: Mapping[str, Curve] = getattr(self, self.logged)()
        return FetchedRun(
            run_id=self.run_id, experiment_name=self.experiment, name=self.name, status=self.status, start_time=START,
            end_time=START + timedelta(hours=1), params=self.params(), tags=self.tags(), curves=curves,
        )  # fmt: skip

    def entries(self) -> dict[EntryKey, Entry]:
        return self.documents.entries()

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
        return len(self.documents.epochs)

    def sparkline(self) -> Series:
        return self.documents.sparkline()


def _curve(steps: object, values: object, every: float = SECONDS_A_STEP) -> Curve:
    """Values by step, one every so many seconds since the start."""
    where = np.asarray(steps, dtype=np.int64)
    times = START.timestamp() * 1000 + where * every * 1000
    return Curve.of(where, np.asarray(values, dtype=np.float64), times.astype(np.int64))
