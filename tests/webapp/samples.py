"""Made-up runs in the shapes of `warmboard.contract.entries`, stored through the one door, and like real training."""

from __future__ import annotations

import itertools
import json
import math
import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import numpy as np
from cachetools import LRUCache, cached

from store import warm
from store.models import InboxEvent, QuickTest, Run
from tests.paths import EXAMPLES
from warmboard.contract.about import Dataset, LoggedModel
from warmboard.contract.entries import (
    Entry,
    EntryKey,
    Envelope,
    Histogram,
    HistogramType,
    History,
    Insight,
    NonFinite,
    Norms,
    Resolution,
    Series,
    Summaries,
    Tower,
    TowerStatistics,
)
from warmboard.contract.events import EventType, RunEvent, RunStatus
from workers.documents.about import about, parent_of
from workers.documents.encoding import encode
from workers.history.charts import charts_of
from workers.history.fetched import FetchedRun
from workers.history.points import Points

BINS = 25
WEIGHTS_IN_TOWER = {Tower.QUERY: 79_008, Tower.CANDIDATE: 333_696}
START = datetime(2026, 1, 2, 10, 0, tzinfo=UTC)
GRADIENT_EDGES = [-(10 ** (-7 * i / 12)) for i in range(13)] + [10 ** (-7 * (12 - i) / 12) for i in range(13)]
NonFiniteKind = Literal["NaN", "Infinity", "-Infinity"]


def _fields(run: Sample) -> str:
    return repr(run)


@dataclass(frozen=True)
class Sample:
    """A run of ``epochs`` epochs; equal seeds give equal values.

    What takes long to make follows from the fields alone, and hundreds of tests store the same run: it is made once in
    a process, and must not be changed.
    """

    run_id: str
    epochs: int = 20
    seed: int = 1
    status: str = "FINISHED"
    with_gradients: bool = True
    with_non_finite: bool = True
    experiment: str = "two-tower"
    name: str = "quick-test-7"

    def non_finite(self) -> list[tuple[str, int, NonFiniteKind]]:
        if not self.with_non_finite or self.epochs < 8:
            return []
        return [("loss", self.epochs // 3, "NaN"), ("query_grad_norm", self.epochs // 2, "Infinity")]

    @cached(LRUCache(32), key=_fields)
    def curves(self) -> dict[str, Series]:
        """Every metric by its MLflow key, over every epoch."""
        chance = random.Random(self.seed)
        curves: dict[str, Series] = {key: [] for key in _KEYS}
        for epoch in range(self.epochs):
            for key, value in self._epoch(epoch, chance).items():
                curves[key].append(value)
        for key, epoch, _ in self.non_finite():
            curves[key][epoch] = None
        return curves

    def _epoch(self, epoch: int, chance: random.Random) -> dict[str, float]:
        done = epoch / max(self.epochs - 1, 1)
        noise = chance.gauss
        spike = 2.4 if self.epochs > 50 and epoch == int(self.epochs * 0.62) + 2 else 0.0
        loss = 6.9 * math.exp(-3.2 * done) + 1.9 + noise(0, 0.03)
        val = 6.6 * math.exp(-3.6 * done) + 2.35 + 0.55 * max(done - 0.7, 0) + noise(0, 0.05) + spike
        penalty = 0.05 + 0.32 * (1 - math.exp(-2 * done))
        grow = 1 - math.exp(-2.6 * done)
        row = {
            "loss": loss, "val_loss": val,
            "regularization_loss": penalty, "val_regularization_loss": penalty * 1.01,
            "total_loss": loss + penalty, "val_total_loss": val + penalty * 1.01,
            "val_recall_at_10": 0.012 + 0.11 * (1 - math.exp(-4 * done)) + noise(0, 0.002),
            "val_recall_at_100": 0.06 + 0.31 * (1 - math.exp(-4 * done)) + noise(0, 0.004),
            "query_weight_norm": 8 + 21 * grow, "candidate_weight_norm": 11 + 34 * grow,
        }  # fmt: skip
        row["weight_norm"] = math.hypot(row["query_weight_norm"], row["candidate_weight_norm"])
        for tower, scale in ((Tower.QUERY, 0.05), (Tower.CANDIDATE, 0.03)):
            spread = _weight_spread(tower, done)
            row |= {f"{tower}_weights_mean": noise(0, 1e-3) + 0.01 * done, f"{tower}_weights_std": spread}
            low, high = _weight_range(tower, done)
            row |= {f"{tower}_weights_min": low, f"{tower}_weights_max": high}
            norm = scale * (1 + 9 * math.exp(-5 * done)) * math.exp(noise(0, 0.22))
            row |= {f"{tower}_grad_norm": norm, f"{tower}_grad_mean": noise(0, 1e-6), f"{tower}_grad_std": norm / 300}
            row |= {f"{tower}_grad_min": -norm / 9, f"{tower}_grad_max": norm / 8}
        return row

    def insights(self) -> list[Insight]:
        """What a worker might have noticed."""
        best, last = self.best_epoch(), self.epochs - 1
        found: list[Insight] = [
            {
                "rule": "best-epoch", "severity": "info", "metric": "val_loss", "epochs": [best],
                "text": f"Validation loss is lowest at epoch {best}.",
            },
        ]  # fmt: skip
        if last > best:
            text = f"Validation loss has risen since epoch {best}, while training loss still falls."
            found.insert(
                0,
                {
                    "rule": "overfitting", "severity": "warning", "metric": "val_loss", "epochs": [best, last],
                    "text": text,
                },
            )  # fmt: skip
        for key, epoch, kind in self.non_finite()[:1]:
            text = f"{key} was {kind} at epoch {epoch}."
            found.append({"rule": "non-finite", "severity": "error", "text": text, "metric": key, "epochs": [epoch]})
        return found

    def kept(self, resolution: Resolution) -> list[int]:
        if resolution is Resolution.FULL:
            return list(range(self.epochs))
        interval = max(5, -(-self.epochs // 100))
        return sorted({*range(0, self.epochs, interval), self.epochs - 1, self.best_epoch()})

    def best_epoch(self) -> int:
        val = [math.inf if value is None else value for value in self.curves()["val_loss"]]
        return val.index(min(val))

    def params(self) -> dict[str, str]:
        return {
            "epochs": str(self.epochs), "batch_size": "2048", "learning_rate": "0.05", "optimizer": "adagrad",
            "embedding_dim": "32", "l2": "1e-05", "seed": str(self.seed),
            "query_hist_bin_edges": ",".join(f"{edge:.4f}" for edge in _weight_edges(Tower.QUERY, 0.0)),
        }  # fmt: skip

    def final_metrics(self) -> dict[str, float | None]:
        curves = self.curves()
        return {
            "final_loss": curves["loss"][-1], "final_val_loss": curves["val_loss"][-1], "test_loss": 2.51,
            "test_recall_at_5": 0.068, "test_recall_at_10": 0.1182, "test_recall_at_50": 0.271,
            "test_recall_at_100": 0.3652,
        }  # fmt: skip

    def history(self, resolution: Resolution) -> History:
        full, kept = self.curves(), self.kept(resolution)
        curves = {key: [values[epoch] for epoch in kept] for key, values in full.items()}
        norms: Norms = {
            "total": curves["weight_norm"], "query": curves["query_weight_norm"],
            "candidate": curves["candidate_weight_norm"],
        }  # fmt: skip
        non_finite: list[NonFinite] = [{"metric": m, "epoch": e, "kind": k} for m, e, k in self.non_finite()]
        overview = resolution is Resolution.OVERVIEW
        return {
            "available": True, "resolution": resolution.value, "unit": "epoch", "epochs": kept,
            "epochs_total": self.epochs, "best_epoch": self.best_epoch(),
            "timestamps": [_milliseconds(START + timedelta(seconds=3 * (epoch + 1))) for epoch in kept],
            "insights": self.insights(),
            "loss": {
                "train": curves["loss"], "val": curves["val_loss"], "regularization": curves["regularization_loss"],
                "val_regularization": curves["val_regularization_loss"], "total": curves["total_loss"],
                "val_total": curves["val_total_loss"],
            },
            "weight_norm": norms, "gradient": norms,
            "gradient_norm": {tower.value: curves[f"{tower}_grad_norm"] for tower in Tower},
            "weight_stats": {tower.value: _statistics(curves, f"{tower}_weights") for tower in Tower},
            "gradient_stats": {tower.value: _statistics(curves, f"{tower}_grad") for tower in Tower},
            "metrics": {key: curves[key] for key in ("val_recall_at_10", "val_recall_at_100")},
            "more_metrics": 0,
            "envelope": {key: _envelope(values, kept) for key, values in full.items()} if overview else {},
            "earlier": {}, "replaced": {}, "clocks": [], "clock_of": {}, "non_finite": non_finite,
            "non_finite_total": len(non_finite), "repeated_steps": 0,
            "final_metrics": self.final_metrics(), "params": self.params(), "status": self.status,
            "tags": self.tags(),
            "experiment_name": self.experiment, "run_name": self.name,
            "start_time": START.isoformat(), "end_time": (START + timedelta(seconds=3 * self.epochs)).isoformat(),
            "cached_at": self.cached_at(), "mlflow_run_id": self.run_id, "histogram_available": True,
        }  # fmt: skip

    def told(self) -> Summaries:
        """As the workers make them, from every epoch."""
        return self._told()

    @cached(LRUCache(32), key=_fields)
    def _told(self) -> Summaries:
        kinds = {(key, epoch): float(kind) for key, epoch, kind in self.non_finite()}
        times = np.array([_milliseconds(START + timedelta(seconds=3 * (at + 1))) for at in range(self.epochs)])
        points = {
            key: Points.of(np.arange(self.epochs), np.array([kinds.get((key, at), value) for at, value in
                           enumerate(values)], dtype=np.float64), times)
            for key, values in self.curves().items()
        }  # fmt: skip
        end = np.zeros(1, dtype=np.int64)
        points |= {key: Points.of(end, np.array([value], dtype=np.float64), end + _milliseconds(START))
                   for key, value in self.final_metrics().items()}  # fmt: skip
        return {
            "available": True, "unit": "epoch",
            "metrics": {key: points[key].summary() for key in sorted(points) if len(points[key])},
            "charts": charts_of(self.curves()), "chunk_of": {}, "replaced": {},
            "cached_at": self.cached_at(), "mlflow_run_id": self.run_id,
        }  # fmt: skip

    def tags(self) -> dict[str, str]:
        return {"team": "ranking", "mlflow.user": "ada"}

    def fetched(self) -> FetchedRun:
        """The run without its points."""
        return FetchedRun(
            run_id=self.run_id, experiment_name=self.experiment, name=self.name, status=self.status, start_time=START,
            end_time=START + timedelta(seconds=3 * self.epochs), params=self.params(), tags=self.tags(), points={},
            experiment_id="7", user="ada",
        )  # fmt: skip

    def histogram(self, type_: HistogramType, tower: Tower, resolution: Resolution) -> Histogram:
        kept = self.kept(resolution)
        chance = random.Random(f"{self.seed}{type_}{tower}")
        rows = [_bins(type_, tower, epoch / max(self.epochs - 1, 1), chance) for epoch in kept]
        return {
            "available": True, "type": type_.value, "tower": tower.value, "resolution": resolution.value,
            "epochs": kept, "epochs_total": self.epochs, "bin_edges": rows[0].edges,
            "bin_edges_by_epoch": [row.edges for row in rows], "counts": [row.counts for row in rows],
            "underflow": [row.under for row in rows], "overflow": [row.over for row in rows],
            "cached_at": self.cached_at(), "mlflow_run_id": self.run_id,
        }  # fmt: skip

    def entries(self) -> dict[EntryKey, Entry]:
        return self._entries()

    @cached(LRUCache(32), key=_fields)
    def _entries(self) -> dict[EntryKey, Entry]:
        entries = {}
        entries[EntryKey.summaries(self.run_id)] = encode(self.told())
        entries[EntryKey.about(self.run_id)] = encode(about(self.fetched(), self.cached_at()))
        types = HistogramType if self.with_gradients else [HistogramType.WEIGHTS]
        for resolution in Resolution:
            entries[EntryKey.history(self.run_id, resolution)] = encode(self.history(resolution))
            for type_ in types:
                for tower in Tower:
                    key = EntryKey.histogram(self.run_id, type_, tower, resolution)
                    entries[key] = encode(self.histogram(type_, tower, resolution))
        return entries

    def announce(self, state: str = "pending", reason: str = "", quick_test: int | None = None) -> InboxEvent:
        """The run's row and one event about it, as the subscriber leaves them."""
        now = datetime.now(UTC)
        Run.objects.get_or_create(
            run_id=self.run_id,
            defaults={
                "tracking_server": "default", "experiment_name": self.experiment, "name": self.name,
                "status": self.status, "announced_at": now, "epochs": self.epochs,
            },
        )  # fmt: skip
        if quick_test:
            QuickTest.objects.update_or_create(pk=quick_test, defaults={"mlflow_run_id": self.run_id})
        event = RunEvent(
            type=EventType.COMPLETED, id=f"{self.run_id}.{now.timestamp()}", time=now - timedelta(milliseconds=18),
            run_id=self.run_id, tracking_server="default", experiment_name=self.experiment,
            status=RunStatus(self.status), quick_test_id=quick_test, epochs=self.epochs, end_time=now,
        )  # fmt: skip
        data, attributes = event.encode()
        return InboxEvent.objects.create(
            source=event.source, event_id=event.id, run_id=self.run_id, type=event.type, attributes=attributes,
            data=data, published_at=now, state=state, reason=reason, attempts=int(state != "pending"),
        )  # fmt: skip

    def warm(self, quick_test: int | None = None) -> None:
        """Announces the run and stores everything about it, as a worker does."""
        event = self.announce("warming", quick_test=quick_test)
        self.put()
        event.state, event.done_at = "done", event.received_at + timedelta(milliseconds=287)
        event.save()

    def put(self) -> None:
        """Stores the entries of a run that has been announced."""
        warm.put(
            warm.WarmRun(
                run_id=self.run_id, fetched_at=datetime.now(UTC), experiment_name=self.experiment, name=self.name,
                status=self.status, start_time=START, end_time=START + timedelta(seconds=3 * self.epochs),
                newest_at=START + timedelta(seconds=3 * self.epochs), epochs=self.length(), unit=self.told()["unit"],
                history_length=self.history_length(), pending_metrics=self.fetched().pending,
                digest="", params=self.params(), tags=self.tags(), parent=parent_of(self.tags()),
                summaries=self.told()["metrics"], final_metrics=self.final_metrics(),
                sparkline=self.sparkline(), entries=self.entries(), source=b"",
            )
        )  # fmt: skip

    def cached_at(self) -> str:
        """The same in all documents of one warming."""
        return (START + timedelta(seconds=3 * self.epochs + 1)).isoformat()

    def length(self) -> int:
        """How many epochs the run has logged."""
        return self.epochs

    def history_length(self) -> int:
        return self.length()

    def sparkline(self) -> Series:
        val = self.curves()["val_loss"]
        return val[:: max(1, len(val) // 40)]


@dataclass(frozen=True)
class Known(Sample):
    """A run with these tags of MLflow's, data sets and models."""

    logged_tags: dict[str, str] = field(default_factory=dict)
    datasets: list[Dataset] = field(default_factory=list)
    models: list[LoggedModel] = field(default_factory=list)

    def tags(self) -> dict[str, str]:
        return self.logged_tags

    def fetched(self) -> FetchedRun:
        return replace(super().fetched(), datasets=self.datasets, models=self.models)


class Varied(Sample):
    """Runs of one search: what their seed draws differs, parameters, curves and final metrics alike."""

    def _drawn(self) -> tuple[float, str, int, float]:
        """Learning rate, optimizer, embedding dimension, and how well these do: about 1."""
        chance = random.Random(f"search {self.seed}")
        rate, optimizer = 10 ** chance.uniform(-3.5, -0.5), chance.choice(["adagrad", "adam", "sgd"])
        width = chance.choice([16, 32, 64, 128])
        return rate, optimizer, width, 1.1 - 0.09 * abs(math.log10(rate) + 1.8) + 0.03 * math.log2(width / 32)

    def params(self) -> dict[str, str]:
        rate, optimizer, width, _ = self._drawn()
        drawn = {"learning_rate": f"{rate:.2g}", "optimizer": optimizer, "embedding_dim": str(width)}
        return super().params() | drawn | ({"momentum": "0.9"} if optimizer == "sgd" else {})

    def final_metrics(self) -> dict[str, float | None]:
        quality = self._drawn()[-1]
        test = {key: value and value * quality for key, value in super().final_metrics().items() if "recall" in key}
        return super().final_metrics() | test | {"test_loss": 2.51 / quality}

    def _epoch(self, epoch: int, chance: random.Random) -> dict[str, float]:
        quality = self._drawn()[-1]
        row = super()._epoch(epoch, chance)
        better = {key: value * quality for key, value in row.items() if "recall" in key or "weight_norm" in key}
        return row | better | {key: value / quality for key, value in row.items() if "loss" in key}


class Golden(Sample):
    """The run of the golden documents: what the workers write, and not what this file makes up."""

    def entries(self) -> dict[EntryKey, Entry]:
        entries = {}
        for resolution in Resolution:
            entries[EntryKey.history(self.run_id, resolution)] = encode(golden(f"history-{resolution}"))
            for type_ in HistogramType:
                # There are goldens of one resolution and one tower; a page may ask for either resolution.
                key = EntryKey.histogram(self.run_id, type_, Tower.QUERY, resolution)
                entries[key] = encode(golden(f"histogram-{type_}-query-overview"))
            entries[EntryKey.metric_chunk(self.run_id, 0, resolution)] = encode(golden("metric-chunk-overview"))
        entries[EntryKey.summaries(self.run_id)] = encode(golden("summaries"))
        entries[EntryKey.about(self.run_id)] = encode(golden("about"))
        entries[EntryKey.metric_index(self.run_id)] = encode(golden("metric-index"))
        return entries


def golden(name: str) -> Any:
    """A document of contract/examples."""
    return json.loads((EXAMPLES / f"entry-{name}.json").read_text())


_KEYS = (
    "loss", "val_loss", "regularization_loss", "val_regularization_loss", "total_loss", "val_total_loss",
    "val_recall_at_10", "val_recall_at_100", "weight_norm", "query_weight_norm", "candidate_weight_norm",
    *(f"{tower}_weights_{name}" for tower in Tower for name in ("mean", "std", "min", "max")),
    *(f"{tower}_grad_{name}" for tower in Tower for name in ("mean", "std", "min", "max", "norm")),
)  # fmt: skip


@dataclass(frozen=True)
class _Bins:
    edges: list[float]
    counts: Series
    under: float
    over: float


def _bins(type_: HistogramType, tower: Tower, done: float, chance: random.Random) -> _Bins:
    """Expected counts with a little noise."""
    edges = _weight_edges(tower, done) if type_ is HistogramType.WEIGHTS else GRADIENT_EDGES
    share = _weight_share(tower, done) if type_ is HistogramType.WEIGHTS else _gradient_share(done)
    at = [share(edge) for edge in edges]
    total = WEIGHTS_IN_TOWER[tower]
    counts: Series = [float(round(total * (b - a) * chance.uniform(0.95, 1.05))) for a, b in itertools.pairwise(at)]
    outside = 0 if type_ is HistogramType.WEIGHTS else round(total * at[0])
    return _Bins(edges, counts, outside, outside)


def _weight_share(tower: Tower, done: float) -> Any:
    low, high = _weight_range(tower, done)
    spread = _weight_spread(tower, done)

    def share(value: float) -> float:
        # Uniform at the start, as initialisers make it; it spreads into a bell with a shoulder.
        uniform = min(max((value + 0.05) / 0.1, 0.0), 1.0)
        bell = 0.8 * _normal(value / spread) + 0.2 * _normal((value - 2.1 * spread) / (0.5 * spread))
        return uniform * (1 - min(4 * done, 1.0)) + bell * min(4 * done, 1.0)

    return lambda value: 0.0 if value <= low else 1.0 if value >= high else share(value)


def _gradient_share(done: float) -> Any:
    middle = -3.1 - 1.6 * done

    def share(value: float) -> float:
        tail = 0.5 * (1 - _normal((math.log10(max(abs(value), 1e-30)) - middle) / 1.05))
        return 1 - tail if value > 0 else tail

    return share


def _normal(z: float) -> float:
    return 0.5 * (1 + math.erf(z / math.sqrt(2)))


def _weight_spread(tower: Tower, done: float) -> float:
    return (0.03 if tower is Tower.QUERY else 0.024) + 0.11 * (1 - math.exp(-2.6 * done))


def _weight_range(tower: Tower, done: float) -> tuple[float, float]:
    spread = _weight_spread(tower, done)
    return -3.1 * spread, 3.9 * spread


def _weight_edges(tower: Tower, done: float) -> list[float]:
    low, high = _weight_range(tower, done)
    return [low + (high - low) * i / BINS for i in range(BINS + 1)]


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _statistics(curves: dict[str, Series], prefix: str) -> TowerStatistics:
    names = ("mean", "std", "min", "max", "norm")
    return {name: curves[f"{prefix}_{name}"] for name in names if f"{prefix}_{name}" in curves}  # type: ignore[return-value]


def _envelope(values: Series, kept: list[int]) -> Envelope:
    parts = [values[before + 1 : epoch + 1] for before, epoch in zip([-1, *kept], kept, strict=False)]
    known = [[value for value in part if value is not None] for part in parts]
    return {
        "min": [min(part) if part else None for part in known],
        "max": [max(part) if part else None for part in known],
    }
