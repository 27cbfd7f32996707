"""The run of the golden entries: 12 epochs with a spike, a missing step, a repeated one, and NaN.

``python -m tests.workers.golden_run`` rewrites warmboard/contract/examples/entry-*.json.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np

from tests.paths import EXAMPLES
from tests.workers.fetch.fake_mlflow import RUN_ID
from tests.workers.fetch.fake_mlflow import Points as Logged
from warmboard.contract.about import Dataset, LoggedModel
from warmboard.contract.entries import EntryKey, HistogramType, Resolution, Tower
from workers.documents.run import RunDocuments
from workers.documents.sample import Sampling
from workers.history.fetched import FetchedRun
from workers.history.points import Points

EPOCHS, BINS = 12, 5
GRADIENT_EDGES = [-1.0, -1e-3, -1e-7, 1e-7, 1e-3, 1.0]
TAGS = {
    "mlflow.user": "trainer",
    "mlflow.source.type": "LOCAL",
    "mlflow.source.name": "train.py",
    "mlflow.source.git.commit": "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c",
    "mlflow.parentRunId": "fedcba9876543210fedcba9876543210",
    "mlflow.note.content": "# Baseline\n\nAfter the **label fix**, see [the ticket](https://tickets.example/7).\n"
    "- <b>not</b> [a link](javascript:alert(1))\n- ![chart](https://elsewhere.example/chart.png)",
    "team": "ranking",
}
DATASETS: list[Dataset] = [
    {
        "name": "purchases",
        "digest": "a1b2c3d4",
        "context": "training",
        "source_type": "gs",
        "source": '{"uri": "gs://bucket/purchases.csv"}',
    }
]
MODELS: list[LoggedModel] = [
    {
        "model_id": "m-0123456789abcdef0123456789abcdef",
        "name": "two-tower",
        "role": "output",
        "status": "READY",
        "step": 11,
        "metrics": [{"key": "test_recall_at_10", "dataset": "purchases", "value": 0.11, "step": 0}],
    }
]
CACHED_AT = datetime(2026, 1, 2, 10, 30, tzinfo=UTC)


def metrics() -> dict[str, Logged]:
    """Every metric's points as the tracking server would give them."""
    curves: dict[str, Logged] = {
        "loss": _curve(lambda epoch: 4.0 if epoch == 7 else round(2.0 * 0.8**epoch, 4)),
        # The best epoch, 6, lies between two kept ones; epoch 3 is missing.
        "val_loss": [point for point in _curve(lambda epoch: 1.0 + abs(epoch - 6) / 10) if point[0] != 3],
        "regularization_loss": _curve(lambda epoch: "NaN" if epoch == 4 else 0.01),
        "val_recall_at_10": _curve(lambda epoch: epoch / 100),
        "weight_norm": _curve(lambda epoch: 10.0 + epoch),
        "final_loss": [(0, 0.17, 90)],
        "test_recall_at_10": [(0, 0.11, 91)],
        # Logged per step, besides the epochs.
        "batch/loss": [(step, 2.0 - step / 100, 100 + step // 10) for step in range(0, 120, 4)],
    }
    # Epoch 5 was logged twice: the later one counts.
    curves["weight_norm"] = [(5, -1.0, 1), *curves["weight_norm"]]
    for tower in Tower:
        curves |= _statistics(tower.value)
    return curves


def params() -> dict[str, str]:
    edges = ",".join(map(repr, GRADIENT_EDGES))
    return {"epochs": str(EPOCHS), "optimizer": "adagrad"} | {f"{tower}_grad_hist_bin_edges": edges for tower in Tower}


def fetched(metrics: Mapping[str, Logged], params: Mapping[str, str]) -> FetchedRun:
    """The run as a fetch returns it."""
    found = {}
    for key, points in metrics.items():
        steps, values, timestamps = zip(*points, strict=True)
        found[key] = Points.of(np.array(steps), np.array(values, dtype=np.float64), np.array(timestamps))
    return FetchedRun(
        run_id=RUN_ID,
        experiment_name="two-tower",
        name="quick-test-7",
        status="FINISHED",
        start_time=datetime(2026, 1, 2, 10, 28, 20, tzinfo=UTC),
        end_time=datetime(2026, 1, 2, 10, 30, tzinfo=UTC),
        params=params,
        tags=TAGS,
        points=found,
        experiment_id="7",
        user="trainer",
        datasets=DATASETS,
        models=MODELS,
    )


def documents() -> RunDocuments:
    return RunDocuments(fetched(metrics(), params()), Sampling(interval=5, points=100), CACHED_AT)


def keys() -> dict[str, EntryKey]:
    """Map each example's file stem to the key of its entry."""
    found = {f"history-{resolution}": EntryKey.history(RUN_ID, resolution) for resolution in Resolution}
    for type_ in HistogramType:
        key = EntryKey.histogram(RUN_ID, type_, Tower.QUERY, Resolution.OVERVIEW)
        found[f"{key.name}-{key.resolution}"] = key
    found["about"] = EntryKey.about(RUN_ID)
    found["summaries"] = EntryKey.summaries(RUN_ID)
    found["metric-index"] = EntryKey.metric_index(RUN_ID)
    found["metric-chunk-overview"] = EntryKey.metric_chunk(RUN_ID, 0, Resolution.OVERVIEW)
    return found


def _statistics(tower: str) -> dict[str, Logged]:
    curves: dict[str, Logged] = {f"{tower}_weight_norm": _curve(lambda epoch: 5.0 + epoch)}
    for name in ("mean", "std", "min", "max"):
        sign = -1 if name == "min" else 1
        curves[f"{tower}_weights_{name}"] = _curve(lambda epoch, sign=sign: sign * (1 + epoch / 10))
    for name in ("mean", "std", "min", "max", "norm"):
        curves[f"{tower}_grad_{name}"] = _curve(lambda epoch: 0.001 * (epoch + 1))
    for bin_ in range(BINS):
        curves[f"{tower}_hist_bin_{bin_}"] = _curve(lambda epoch, bin_=bin_: 100 + epoch * bin_)
        curves[f"{tower}_grad_hist_bin_{bin_}"] = _curve(lambda epoch, bin_=bin_: math.comb(4, bin_) * (epoch + 1))
    curves[f"{tower}_grad_hist_underflow"] = _curve(lambda epoch: 0)
    curves[f"{tower}_grad_hist_overflow"] = _curve(lambda epoch: int(epoch == 7))
    return curves


def _curve(value) -> list[tuple[int, float | str, int]]:  # type: ignore[no-untyped-def]
    return [(epoch, value(epoch), 100 + epoch) for epoch in range(EPOCHS)]


if __name__ == "__main__":
    entries = documents().entries()
    for stem, key in keys().items():
        text = json.dumps(entries[key].decode(), indent=1, ensure_ascii=False)
        (EXAMPLES / f"entry-{stem}.json").write_text(text + "\n")
