"""Documents of the golden run: the contract with their readers, and each rule that builds them."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from tests.paths import EXAMPLES
from tests.workers import golden_run
from tests.workers.fetch.fake_mlflow import RUN_ID
from tests.workers.fetch.fake_mlflow import Points as Logged
from warmboard.contract.entries import EntryKey, HistogramType, Resolution, Tower
from workers.documents import metrics as chunks
from workers.documents import run as module
from workers.documents.run import RunDocuments
from workers.documents.sample import Sampling
from workers.history.fetched import FetchedRun
from workers.history.points import Points

OVERVIEW, FULL = Resolution


def documents_of(metrics: Mapping[str, Logged], params: Mapping[str, str] | None = None) -> RunDocuments:
    return RunDocuments(
        golden_run.fetched(metrics, params or {}), Sampling(interval=5, points=20), golden_run.CACHED_AT
    )


def history(documents: RunDocuments, resolution: Resolution = FULL) -> dict[str, Any]:
    """The run's history as readers get it."""
    return documents.entries()[EntryKey.history(RUN_ID, resolution)].decode()


def histogram(
    documents: RunDocuments, type_: HistogramType, tower: Tower, resolution: Resolution = FULL
) -> dict[str, Any] | None:
    entry = documents.entries().get(EntryKey.histogram(RUN_ID, type_, tower, resolution))
    return entry.decode() if entry else None


def chunk(documents: RunDocuments, number: int = 0, resolution: Resolution = FULL) -> dict[str, Any]:
    return documents.entries()[EntryKey.metric_chunk(RUN_ID, number, resolution)].decode()


def curve(length: int, value: float = 1.0) -> Logged:
    return [(step, value + step, step) for step in range(length)]


@pytest.mark.parametrize("stem", golden_run.keys())
def test_the_golden_entries_are_what_the_workers_write(stem: str) -> None:
    written = golden_run.documents().entries()[golden_run.keys()[stem]].decode()
    kept = json.loads((EXAMPLES / f"entry-{stem}.json").read_text())
    assert written == kept, "if the shape is meant to change: a new SCHEMA_VERSION, then tests.workers.golden_run"


def test_an_overview_keeps_the_grid_the_last_epoch_and_the_best() -> None:
    overview = history(golden_run.documents(), OVERVIEW)
    assert overview["epochs"] == [0, 5, 6, 10, 11]
    assert (overview["best_epoch"], overview["epochs_total"]) == (6, 12)


def test_a_missing_step_is_null_at_its_position() -> None:
    full = history(golden_run.documents())
    assert full["epochs"] == list(range(12))
    assert full["loss"]["val"][2:5] == [1.4, None, 1.2]
    assert full["weight_norm"]["total"][5] == 15.0


def test_the_spike_between_kept_epochs_shows_in_the_envelope() -> None:
    overview = history(golden_run.documents(), OVERVIEW)
    assert 7 not in overview["epochs"]
    assert overview["envelope"]["loss"]["max"][overview["epochs"].index(10)] == 4.0
    assert history(golden_run.documents())["envelope"] == {}


def test_nan_is_null_and_listed_separately() -> None:
    full = history(golden_run.documents())
    assert full["loss"]["regularization"][4] is None
    assert full["non_finite"] == [{"metric": "regularization_loss", "epoch": 4, "kind": "NaN"}]


def test_metrics_outside_the_catalogue_keep_their_keys() -> None:
    full = history(golden_run.documents())
    assert list(full["metrics"]) == ["val_recall_at_10"]
    assert full["final_metrics"] == {"final_loss": 0.17, "test_recall_at_10": 0.11}


def test_a_named_curve_is_never_a_final_metric() -> None:
    metrics = golden_run.metrics()
    metrics["val_loss"] = [(9, 1.0, 1)]
    metrics["test_accuracy"] = [(step, step / 10, step) for step in range(12)]
    full = history(documents_of(metrics))
    assert full["loss"]["val"][9] == 1.0
    assert full["best_epoch"] == 11, "a single value can't judge epochs"
    assert full["metrics"]["test_accuracy"][11] == 1.1


def test_equal_weights_have_bins_of_zero_width() -> None:
    metrics = golden_run.metrics()
    for name in ("min", "max"):
        metrics[f"query_weights_{name}"] = [(step, 0.0 if step else 1e-16, step) for step in range(12)]
    metrics["query_weights_min"] = [(step, 0.0, step) for step in range(12)]
    found = histogram(documents_of(metrics), HistogramType.WEIGHTS, Tower.QUERY)
    assert found
    assert found["bin_edges_by_epoch"][1] == [0.0] * (golden_run.BINS + 1)


def test_weight_histograms_have_each_epochs_true_edges() -> None:
    found = histogram(golden_run.documents(), HistogramType.WEIGHTS, Tower.QUERY)
    assert found
    for epoch, edges in zip(found["epochs"], found["bin_edges_by_epoch"], strict=True):
        np.testing.assert_allclose(edges, np.linspace(-(1 + epoch / 10), 1 + epoch / 10, golden_run.BINS + 1))


def test_gradient_histograms_have_the_runs_fixed_edges_and_counts_outside_them() -> None:
    found = histogram(golden_run.documents(), HistogramType.GRADIENTS, Tower.CANDIDATE)
    assert found
    assert found["bin_edges_by_epoch"] == [golden_run.GRADIENT_EDGES] * golden_run.EPOCHS
    assert found["overflow"][7] == 1
    assert sum(found["overflow"]) == 1


def test_a_sampled_histogram_keeps_only_epochs_with_every_bin() -> None:
    metrics = golden_run.metrics()
    metrics["query_hist_bin_2"] = [point for point in metrics["query_hist_bin_2"] if point[0] != 5]
    found = histogram(documents_of(metrics, golden_run.params()), HistogramType.WEIGHTS, Tower.QUERY, OVERVIEW)
    assert found
    assert found["epochs"] == [0, 6, 10, 11]


def test_bins_without_edges_give_no_histogram() -> None:
    metrics: dict[str, Logged] = {"query_grad_hist_bin_0": [(0, 1.0, 1)], "query_grad_hist_bin_1": [(0, 1.0, 1)]}
    assert histogram(documents_of(metrics), HistogramType.GRADIENTS, Tower.QUERY) is None
    assert history(documents_of(metrics))["histogram_available"] is False


def test_bins_logged_rarely_have_their_own_grid() -> None:
    metrics: dict[str, Logged] = {"loss": curve(500)}
    metrics |= {f"query_grad_hist_bin_{bin_}": [(step, 1.0, step) for step in range(7, 500, 10)] for bin_ in range(2)}
    found = histogram(
        documents_of(metrics, {"query_grad_hist_bin_edges": "0,1,2"}), HistogramType.GRADIENTS, Tower.QUERY, OVERVIEW
    )
    assert found
    assert (found["epochs"][0], found["epochs"][-1], found["epochs_total"]) == (7, 497, 50)
    assert 10 <= len(found["epochs"]) <= 21


def test_even_an_empty_run_has_a_history() -> None:
    for metrics in ({}, {"accuracy": [(0, 0.9, 1)]}):
        found = history(documents_of(metrics), OVERVIEW)
        assert found["histogram_available"] is False
        assert found["epochs"] == []
        assert found["final_metrics"] == ({"accuracy": 0.9} if metrics else {})
        assert all(series == [] for series in found["loss"].values())


def test_a_run_of_any_length_has_a_bounded_overview() -> None:
    rng = np.random.default_rng(1)
    metrics: dict[str, Logged] = {
        key: [(step, float(value), step) for step, value in enumerate(rng.normal(size=20_000))]
        for key in ("loss", "val_loss")
    }
    documents = documents_of(metrics)
    assert len(history(documents, OVERVIEW)["epochs"]) <= 22
    assert len(documents.sparkline()) <= 32
    assert len(documents.entries()) == 4
    assert history(documents)["loss"]["train"] == [value for _, value, _ in metrics["loss"]]


def test_only_overviews_are_rounded() -> None:
    documents = documents_of({"loss": [(step, 1 / (step + 3), step) for step in range(4)]})
    assert history(documents, OVERVIEW)["loss"]["train"] == [0.33333333, 0.16666667]
    assert history(documents)["loss"]["train"] == [1 / 3, 1 / 4, 1 / 5, 1 / 6]


def test_each_epoch_has_the_time_of_its_last_value() -> None:
    metrics: dict[str, Logged] = {"loss": [(0, 1.0, 10), (1, 0.5, 20)], "val_loss": [(1, 0.7, 25)]}
    assert history(documents_of(metrics))["timestamps"] == [10, 25]


def test_repeated_steps_are_counted() -> None:
    assert history(golden_run.documents())["repeated_steps"] == 1


def test_metrics_logged_per_step_keep_their_own_axis() -> None:
    metrics: dict[str, Logged] = {
        "train/loss": [(step * 50, 1.0 - step / 1000, 1000 + step) for step in range(500)],
        "train/lr": [(step * 50, 1e-3, 1000 + step) for step in range(500)],
        "val/accuracy": [(step * 5000, step / 10, 2000 + step) for step in range(4)],
        "system/cpu": [(sample, 50.0, 3000 + sample) for sample in range(7)],
    }
    documents = documents_of(metrics)
    told = history(documents)
    # Two metrics share these steps, so they are the run's epochs.
    assert told["epochs"][:3] == [0, 50, 100]
    assert list(told["metrics"]) == ["train/loss", "train/lr", "val/accuracy"]
    assert told["metrics"]["val/accuracy"][100] == 0.1
    assert told["more_metrics"] == 1
    index = documents.entries()[EntryKey.metric_index(RUN_ID)].decode()
    assert [(group["name"], [metric["key"] for metric in group["metrics"]]) for group in index["groups"]] == [
        ("system", ["system/cpu"])
    ]
    found = chunk(documents)
    assert found["axes"] == [
        {"steps": list(range(7)), "timestamps": list(range(3000, 3007)), "steps_total": 7, "counted": False}
    ]
    assert found["metrics"] == {"system/cpu": {"axis": 0, "values": [50.0] * 7}}


def test_samples_of_system_metrics_are_not_epochs() -> None:
    metrics: dict[str, Logged] = {f"system/{name}": curve(9) for name in ("cpu", "memory", "disk")}
    documents = documents_of({**metrics, "train/loss": curve(3)})
    assert history(documents)["epochs"] == [0, 1, 2]
    assert list(history(documents)["metrics"]) == ["train/loss"]
    assert history(documents_of(metrics))["epochs"] == []


def test_a_sampled_metric_has_an_envelope() -> None:
    values = [0.0] * 1000
    values[777] = 9.0
    metrics: dict[str, Logged] = {
        "loss": curve(3),
        "batch/loss": [(step, value, step) for step, value in enumerate(values)],
    }
    found = chunk(documents_of(metrics), 0, OVERVIEW)
    metric, axis = found["metrics"]["batch/loss"], found["axes"][0]
    assert (axis["steps"][0], axis["steps"][-1], axis["steps_total"]) == (0, 999, 1000)
    assert len(axis["steps"]) == len(metric["values"]) == len(metric["min"]) == len(metric["max"]) <= 21
    assert (max(metric["values"]), max(metric["max"])) == (0.0, 9.0)


def test_ten_thousand_metrics_come_in_bounded_chunks() -> None:
    metrics = {f"layer_{number:04}/norm": curve(3) for number in range(10_000)}
    documents = documents_of(metrics)
    assert len(history(documents)["metrics"]) == 50
    assert history(documents)["more_metrics"] == 9_950
    index = documents.entries()[EntryKey.metric_index(RUN_ID)].decode()
    assert index["chunks"] == -(-9_950 // chunks.CHUNK_METRICS)
    last = index["groups"][-1]["metrics"][-1]
    assert last["key"] == "layer_9999/norm"
    assert chunk(documents, last["chunk"])["metrics"][last["key"]]["values"] == [1.0, 2.0, 3.0]


def test_a_metric_of_a_million_points_has_its_own_chunk() -> None:
    steps = np.arange(1_000_000)
    run = golden_run.fetched({"loss": curve(3), "a": [(9, 1.0, 1), (10, 1.0, 2)]}, {})
    long = FetchedRun(**{**vars(run), "points": {**run.points, "long": Points.of(steps, steps / 7, steps)}})
    documents = RunDocuments(long, Sampling(5, 20), golden_run.CACHED_AT)
    assert [*chunk(documents, 0)["metrics"]] == ["a"]
    assert chunk(documents, 1)["metrics"]["long"]["values"][999_999] == 999_999 / 7
    assert len(chunk(documents, 1, OVERVIEW)["axes"][0]["steps"]) <= 21
    assert history(documents)["epochs"] == [0, 1, 2]


def test_a_full_history_of_too_many_values_is_sampled_with_an_envelope(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_CELLS", 500)
    found = history(documents_of({"loss": curve(1000), "val_loss": curve(1000)}))
    assert len(found["epochs"]) <= 252
    assert found["envelope"]["loss"]["max"][-1] == 1000.0


def test_nan_values_are_listed_up_to_a_limit() -> None:
    metrics: dict[str, Logged] = {"loss": [(step, "NaN", step) for step in range(300)]}
    found = history(documents_of(metrics), OVERVIEW)
    assert (len(found["non_finite"]), found["non_finite_total"]) == (200, 300)
    assert len(history(documents_of(metrics))["non_finite"]) == 300


def test_listing_many_nan_values_costs_no_more_than_the_limit() -> None:
    steps, nan = np.arange(20_000), np.full(20_000, np.nan)
    run = golden_run.fetched({"loss": curve(3)}, {})
    points = {f"{name}_weights_std": Points.of(steps, nan, steps) for name in ("query", "candidate")}
    found = history(RunDocuments(FetchedRun(**{**vars(run), "points": points}), Sampling(5, 20), golden_run.CACHED_AT))
    assert found["non_finite_total"] == 40_000
    assert len(found["non_finite"]) == 10_000
    assert [gap["metric"] for gap in found["non_finite"][:3]] == [
        "candidate_weights_std",
        "query_weights_std",
        "candidate_weights_std",
    ]
    assert found["non_finite"][-1] == {"metric": "query_weights_std", "epoch": 4_999, "kind": "NaN"}


def test_lists_get_a_bounded_number_of_final_metrics_catalogue_first() -> None:
    metrics: dict[str, Logged] = {f"a_{number:03}": [(0, 1.0, 1)] for number in range(200)}
    metrics["test_loss"] = [(0, 0.5, 1)]
    documents = documents_of(metrics)
    assert len(documents.final_metrics) == 201
    assert len(documents.summary_metrics) == 100
    assert next(iter(documents.summary_metrics)) == "test_loss"


def summaries(documents: RunDocuments) -> dict[str, Any]:
    return documents.entries()[EntryKey.summaries(RUN_ID)].decode()


def test_the_leading_metrics_are_in_the_first_chunk() -> None:
    metrics: dict[str, Logged] = {f"a_{number:03}/x": [(step * 7, 1.0, step) for step in range(3)]
                                  for number in range(100)}  # fmt: skip
    metrics |= {"train/loss": curve(50), "val/loss": [(step * 5 + 1, 1.0, step) for step in range(4)]}
    found = summaries(documents_of(metrics))
    assert found["charts"][0] == {"title": "loss", "section": "training", "metrics": ["train/loss", "val/loss"]}
    assert {found["chunk_of"][key] for key in ("train/loss", "val/loss")} == {0}
    assert [chart["section"] for chart in found["charts"][1:]] == 100 * ["other"]


def test_what_matters_is_in_the_history_if_not_everything_can_be() -> None:
    metrics = {f"a_{number:03}": curve(9) for number in range(100)} | {"z/loss": curve(9)}
    assert "z/loss" in history(documents_of(metrics))["metrics"]


def test_the_summaries_have_every_chart_and_chunk_of_a_metric() -> None:
    documents = documents_of({**golden_run.metrics(), "one": [(0, 1.0, 1)], "nan": [(0, "NaN", 1), (1, "NaN", 2)]})
    found = summaries(documents)
    drawn = [key for chart in found["charts"] for key in chart["metrics"]]
    assert sorted(drawn) == sorted(found["metrics"].keys() - documents.final_metrics.keys())
    assert found["chunk_of"] == {"batch/loss": 0}
    assert found["replaced"] == {"weight_norm": 1}
    assert found["metrics"]["nan"]["last"]["value"] == "NaN"
    assert found["metrics"]["one"]["count"] == 1
