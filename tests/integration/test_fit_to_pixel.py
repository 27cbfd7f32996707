"""One run from fit to pixel, on real parts: trained, logged, announced, warmed, read."""

from __future__ import annotations

import math
import urllib.request
from typing import Any

import pytest
from mlflow import MlflowClient

from tests.integration.conftest import EPOCHS, Running
from tests.waiting import PATIENCE
from warmboard.contract.catalogue import PLACES, bin_key, binned_series, named_series
from warmboard.contract.entries import HistogramType, Tower

pytestmark = pytest.mark.integration
FINAL = ["final_loss", "final_val_loss", "test_loss", *(f"test_recall_at_{k}" for k in (5, 10, 50, 100))]


def catalogue() -> set[str]:
    """The 134 metric keys of one run: 127 per epoch, 7 at its end."""
    bins = {bin_key(type_, tower, number) for type_ in HistogramType for tower in Tower for number in range(25)}
    keys = {*PLACES, *FINAL} | bins
    assert len(keys) == 134
    return keys


def from_mlflow(running: Running, run_id: str) -> dict[str, dict[int, float]]:
    """Every metric from the stock client: key → step → value."""
    client = MlflowClient(running.stack.environ["MLFLOW_TRACKING_URI"])
    keys = client.get_run(run_id).data.metrics
    return {key: {point.step: point.value for point in client.get_metric_history(run_id, key)} for key in keys}


def from_json(running: Running, run_id: str) -> dict[str, dict[int, float]]:
    """Every metric from the webapp's JSON at full resolution: key → epoch → value."""
    history = running.get(f"/api/runs/{run_id}/training-history/?resolution=full")
    series = history["metrics"] | named_series(history)
    found = {key: dict(zip(history["epochs"], values, strict=True)) for key, values in series.items()}
    for tower in Tower:
        for type_ in HistogramType:
            found |= _bins(running, run_id, type_, tower)
    return found


def _bins(running: Running, run_id: str, type_: HistogramType, tower: Tower) -> dict[str, dict[int, float]]:
    path = f"/api/runs/{run_id}/histogram-data/?type={type_}&tower={tower}&resolution=full"
    histogram = running.get(path)
    columns: dict[str, list[Any]] = binned_series(histogram)
    return {key: dict(zip(histogram["epochs"], values, strict=True)) for key, values in columns.items()}


def test_every_value_in_the_json_is_that_of_mlflow(running: Running, trained: dict[str, Any]) -> None:
    run_id = trained["run_id"]
    told, ours = from_mlflow(running, run_id), from_json(running, run_id)
    finals = running.get(f"/api/runs/{run_id}/training-history/")["final_metrics"]
    assert catalogue() <= told.keys()
    assert ours.keys() | finals.keys() == told.keys()
    for key, steps in told.items():
        if key in finals:
            assert finals[key] == pytest.approx(max(steps.items())[1], rel=0, abs=0), key
        else:
            assert ours[key] == steps, key
            assert len(steps) == EPOCHS, key
    assert all(math.isfinite(value) for steps in told.values() for value in steps.values())


def test_the_histograms_are_of_all_weights_and_gradients(running: Running, trained: dict[str, Any]) -> None:
    for tower in Tower:
        path = f"/api/runs/{trained['run_id']}/histogram-data/?type=weights&tower={tower}&resolution=full"
        weights = running.get(path)
        totals = {sum(counts) for counts in weights["counts"]}
        assert len(totals) == 1, "every epoch counts every weight"
        history = running.get(f"/api/runs/{trained['run_id']}/training-history/?resolution=full")
        lowest = dict(zip(history["epochs"], history["weight_stats"][tower]["min"], strict=True))
        for epoch, edges in zip(weights["epochs"], weights["bin_edges_by_epoch"], strict=True):
            assert edges[0] == lowest[epoch]
        gradients = running.get(f"/api/runs/{trained['run_id']}/histogram-data/?type=gradients&tower={tower}")
        middle = len(gradients["counts"][0]) // 2
        assert max(sum(c) - c[middle] for c in gradients["counts"]) > 0, "gradients show outside the middle bin"


def test_demo_writes_its_figures(running: Running, trained: dict[str, Any]) -> None:
    assert trained["seconds"].keys() == {"setup", "training", "publish_to_warm"}
    assert all(seconds > 0 for seconds in trained["seconds"].values())
    assert trained["urls"].keys() == {"web", "run", "history", "histogram", "mlflow", "flower"}
    for url in trained["urls"].values():
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            assert answer.status == 200, url
    by_test = running.get(f"/api/quick-tests/{trained['quick_test_id']}/training-history/")
    assert by_test["mlflow_run_id"] == trained["run_id"]


def test_the_bridge_file_is_in_the_bucket(running: Running, trained: dict[str, Any]) -> None:
    storage = running.stack.environ["STORAGE_EMULATOR_HOST"]
    url = f"{storage}/storage/v1/b/warmboard/o/runs%2F{trained['run_id']}%2Fmlflow_info.json?alt=media"
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        assert trained["run_id"] in answer.read().decode()


def test_flower_shows_the_task(running: Running, trained: dict[str, Any]) -> None:
    query = "tasks/datatable?draw=1&start=0&length=100&search[value]=&order[0][column]=0&order[0][dir]=asc"
    columns = "&columns[0][data]=name&columns[0][name]=name&columns[0][orderable]=true"
    with urllib.request.urlopen(running.stack.urls["flower"] + query + columns, timeout=PATIENCE) as answer:
        shown = answer.read().decode()
    assert "warm_run" in shown
    assert trained["run_id"] in shown
    assert "SUCCESS" in shown
