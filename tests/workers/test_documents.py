"""Documents of the golden run: the agreement with those who read them, and each rule that shaped them."""

import json
from collections.abc import Mapping

import numpy as np
import pytest

from contract.entries import EntryKey, HistogramType, Resolution, Tower
from tests.workers import golden_run
from tests.workers.fake_mlflow import RUN_ID, FakeMlflow, Points
from workers.documents import RunDocuments, Sampling
from workers.fetch import Fetcher


def documents_of(metrics: Mapping[str, Points], params: dict[str, str] | None = None) -> RunDocuments:
    run = Fetcher("http://mlflow.test", transport=FakeMlflow(metrics, params)).fetch(RUN_ID)
    return RunDocuments(run, Sampling(interval=5, points=20), golden_run.CACHED_AT)


@pytest.mark.parametrize("stem", golden_run.keys())
def test_the_golden_entries_are_what_the_workers_write(stem: str) -> None:
    written = golden_run.documents().entries()[golden_run.keys()[stem]].decode()
    kept = json.loads((golden_run.EXAMPLES / f"entry-{stem}.json").read_text())
    assert written == kept, "if the shape is meant to change: a new SCHEMA_VERSION, then tests.workers.golden_run"


def test_an_overview_keeps_the_grid_the_last_and_the_best() -> None:
    overview = golden_run.documents().history(Resolution.OVERVIEW)
    assert overview["epochs"] == [0, 5, 6, 10, 11]
    assert (overview["best_epoch"], overview["epochs_total"]) == (6, 12)


def test_a_missing_step_is_null_at_its_place() -> None:
    full = golden_run.documents().history(Resolution.FULL)
    assert full["epochs"] == list(range(12))
    assert full["loss"]["val"][2:5] == [1.4, None, 1.2]
    assert full["weight_norm"]["total"][5] == 15.0


def test_the_spike_between_kept_epochs_shows_in_the_envelope() -> None:
    overview = golden_run.documents().history(Resolution.OVERVIEW)
    assert 7 not in overview["epochs"]
    assert overview["envelope"]["loss"]["max"][overview["epochs"].index(10)] == 4.0
    assert golden_run.documents().history(Resolution.FULL)["envelope"] == {}


def test_what_is_not_finite_is_null_and_listed_apart() -> None:
    full = golden_run.documents().history(Resolution.FULL)
    assert full["loss"]["regularization"][4] is None
    assert full["non_finite"] == [{"metric": "regularization_loss", "epoch": 4, "kind": "NaN"}]


def test_metrics_without_a_name_of_ours_are_kept_under_their_own() -> None:
    full = golden_run.documents().history(Resolution.FULL)
    assert list(full["metrics"]) == ["val_recall_at_10"]
    assert full["final_metrics"] == {"final_loss": 0.17, "test_recall_at_10": 0.11}


def test_a_named_curve_is_never_a_final_metric() -> None:
    metrics = golden_run.metrics()
    metrics["val_loss"] = [(9, 1.0, 1)]
    metrics["test_accuracy"] = [(step, step / 10, step) for step in range(12)]
    full = documents_of(metrics).history(Resolution.FULL)
    assert full["loss"]["val"][9] == 1.0
    assert full["best_epoch"] == 9
    assert full["metrics"]["test_accuracy"][11] == 1.1


def test_weights_that_are_all_equal_have_edges_of_no_width() -> None:
    metrics = golden_run.metrics()
    for name in ("min", "max"):
        metrics[f"query_weights_{name}"] = [(step, 0.0 if step else 1e-16, step) for step in range(12)]
    metrics["query_weights_min"] = [(step, 0.0, step) for step in range(12)]
    histogram = documents_of(metrics).histogram(HistogramType.WEIGHTS, Tower.QUERY, Resolution.FULL)
    assert histogram
    assert histogram["bin_edges_by_epoch"][1] == [0.0] * (golden_run.BINS + 1)


def test_weight_histograms_have_each_epochs_true_edges() -> None:
    histogram = golden_run.documents().histogram(HistogramType.WEIGHTS, Tower.QUERY, Resolution.FULL)
    assert histogram
    for epoch, edges in zip(histogram["epochs"], histogram["bin_edges_by_epoch"], strict=True):
        np.testing.assert_allclose(edges, np.linspace(-(1 + epoch / 10), 1 + epoch / 10, golden_run.BINS + 1))


def test_gradient_histograms_have_the_runs_fixed_edges_and_what_fell_outside() -> None:
    histogram = golden_run.documents().histogram(HistogramType.GRADIENTS, Tower.CANDIDATE, Resolution.FULL)
    assert histogram
    assert histogram["bin_edges_by_epoch"] == [golden_run.GRADIENT_EDGES] * golden_run.EPOCHS
    assert histogram["overflow"][7] == 1
    assert sum(histogram["overflow"]) == 1  # type: ignore[arg-type]


def test_a_sampled_histogram_keeps_whole_epochs_only() -> None:
    metrics = golden_run.metrics()
    metrics["query_hist_bin_2"] = [point for point in metrics["query_hist_bin_2"] if point[0] != 5]
    histogram = documents_of(metrics, golden_run.params()).histogram(
        HistogramType.WEIGHTS, Tower.QUERY, Resolution.OVERVIEW
    )
    assert histogram
    assert histogram["epochs"] == [0, 6, 10, 11]


def test_bins_with_no_edges_anywhere_are_no_histogram() -> None:
    metrics: dict[str, Points] = {"query_grad_hist_bin_0": [(0, 1.0, 1)], "query_grad_hist_bin_1": [(0, 1.0, 1)]}
    documents = documents_of(metrics)
    assert documents.histogram(HistogramType.GRADIENTS, Tower.QUERY, Resolution.FULL) is None


def test_any_run_has_a_history_even_an_empty_one() -> None:
    for metrics in ({}, {"accuracy": [(0, 0.9, 1)]}):
        history = documents_of(metrics).history(Resolution.OVERVIEW)
        assert history["histogram_available"] is False
        assert history["metrics"] == ({"accuracy": [0.9]} if metrics else {})
        assert all(len(series) == len(history["epochs"]) for series in history["loss"].values())  # type: ignore[arg-type]


def test_a_run_of_any_length_has_a_bounded_overview() -> None:
    rng = np.random.default_rng(1)
    metrics: dict[str, Points] = {
        key: [(step, float(value), step) for step, value in enumerate(rng.normal(size=20_000))]
        for key in ("loss", "val_loss")
    }
    documents = documents_of(metrics)
    assert len(documents.history(Resolution.OVERVIEW)["epochs"]) <= 21
    assert len(documents.sparkline()) <= 32
    assert len(documents.entries()) == 2
    assert EntryKey.history(RUN_ID, Resolution.FULL) in documents.entries()
