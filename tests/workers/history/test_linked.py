"""Data sets and models of a run from MLflow's JSON, as a stock server and the bulk route give them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.workers.fetch.fake_mlflow import RUN_ID, FakeMlflow
from tests.workers.fetch.test_fetcher import fetch
from tests.workers.golden_run import DATASETS, MODELS
from workers.history.linked import LONGEST_SOURCE, datasets_of, models_of
from workers.history.ndjson import read_run, write_run

RUN: dict[str, Any] = {
    "info": {"run_id": RUN_ID},
    "inputs": {
        "dataset_inputs": [
            {
                "tags": [{"key": "other", "value": "x"}, {"key": "mlflow.data.context", "value": "training"}],
                "dataset": {
                    "name": "purchases", "digest": "a1", "source_type": "gs", "source": "s" * 10_000,
                    "schema": "{}" * 1_000_000, "profile": "{}",
                },
            },
            {"dataset": {"name": "buyers"}},
        ],
        "model_inputs": [{"model_id": "m-used"}],
    },
    "outputs": {"model_outputs": [{"model_id": "m-1", "step": "7"}, {"model_id": "m-unnamed"}]},
}  # fmt: skip


def metric(value: Any, *, step: int = 0, time: int = 1, data: str = "", run_id: str = RUN_ID) -> dict[str, Any]:
    found = {"key": "accuracy", "value": value, "step": step, "timestamp": time, "run_id": run_id}
    return found | ({"dataset_name": data} if data else {})


def model(model_id: str, name: str, *metrics: dict[str, Any]) -> dict[str, Any]:
    return {
        "info": {"model_id": model_id, "name": name, "status": "LOGGED_MODEL_READY"},
        "data": {"metrics": list(metrics)},
    }


def test_data_sets_have_their_use_and_neither_schema_nor_profile() -> None:
    buyers, purchases = datasets_of(RUN)
    assert buyers == {"name": "buyers", "digest": "", "context": "", "source_type": "", "source": ""}
    assert (purchases["context"], purchases["digest"]) == ("training", "a1")
    assert len(purchases["source"]) == LONGEST_SOURCE
    assert datasets_of({"info": {"run_id": RUN_ID}}) == []


def test_models_are_told_apart_by_name_and_their_metrics_by_data_set() -> None:
    found = [
        model("m-1", "forest", metric(0.7, data="train"), metric(0.6, data="test"), metric(0.5, step=2, data="test")),
        model("m-2", "boosted", metric("NaN"), metric(1.7976931348623157e308, time=2), metric(0.1, run_id="other")),
    ]
    models = models_of(RUN, found)
    assert [(each["name"], each["role"], each["step"], each["status"]) for each in models] == [
        ("forest", "output", 7, "READY"), ("boosted", "output", None, "READY"), ("", "output", 0, ""),
        ("", "input", None, ""),
    ]  # fmt: skip
    forest, boosted = models[:2]
    assert forest["metrics"] == [
        {"key": "accuracy", "dataset": "test", "value": 0.5, "step": 2},
        {"key": "accuracy", "dataset": "train", "value": 0.7, "step": 0},
    ]
    assert boosted["metrics"] == [{"key": "accuracy", "dataset": "", "value": "Infinity", "step": 0}]


def test_a_stock_server_is_asked_for_the_names_of_models_if_it_has_models() -> None:
    wire = FakeMlflow({})
    assert fetch(wire).models == []
    assert not wire.asked("logged-models/search")
    wire.linked = {"inputs": RUN["inputs"], "outputs": {}}
    wire.models = [model("m-1", "forest")]
    run = fetch(wire)
    assert [each["name"] for each in run.models] == ["forest", ""]
    assert [each["name"] for each in run.datasets] == ["buyers", "purchases"]
    assert (run.experiment_id, run.user) == ("1", "ada")


def test_a_server_that_refuses_its_models_still_gives_the_run() -> None:
    wire = FakeMlflow({"loss": [(0, 1.0, 1)]})
    wire.linked = {"outputs": {"model_outputs": [{"model_id": "m-1"}]}}
    run = fetch(wire)
    assert [(each["model_id"], each["name"]) for each in run.models] == [("m-1", "")]
    assert run.points.keys() == {"loss"}


@pytest.mark.parametrize("old", [False, True])
def test_the_bulk_route_gives_them_with_the_run_and_the_source_keeps_them(old: bool) -> None:
    wire = FakeMlflow({"loss": [(0, 1.0, 1)]}, bulk=True)
    wire.normalised = {} if old else {"datasets": DATASETS, "models": MODELS}
    run = fetch(wire)
    assert len([path for path in wire.requests if "/version" not in path]) == 1
    assert (run.datasets, run.models) == (([], []) if old else (DATASETS, MODELS))
    kept = read_run(write_run(run))
    assert (kept.datasets, kept.models, kept.experiment_id, kept.user) == (run.datasets, run.models, "1", "ada")
