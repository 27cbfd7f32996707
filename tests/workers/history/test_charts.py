"""Which metrics are drawn together, and in which order."""

from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.history.charts import MANY, Role, charts_of, natural, role_of

PARTS = ["train", "val", "loss", "acc", "lr", "grad_norm", "layers", "9", "10", "system/", "/", "_", "epoch", "é", ""]
KEYS = st.one_of(st.lists(st.sampled_from(PARTS), min_size=1, max_size=5).map("".join), st.text(max_size=9))


def titles(*keys: str) -> list[str]:
    return [chart["title"] for chart in charts_of(keys)]


@pytest.mark.parametrize(
    "keys",
    [
        ["train/loss", "val/loss"],
        ["loss", "val_loss"],
        ["train_loss_epoch", "train_loss_step", "val_loss"],
        ["train/loss", "eval/loss", "test/loss"],
        ["acc", "val_acc"],
    ],
)
def test_the_sides_of_a_metric_are_one_chart_that_begins_with_training(keys: list[str]) -> None:
    (found,) = charts_of(reversed(keys))
    assert found == {"title": "acc" if "acc" in keys else "loss", "section": "training", "metrics": keys}


def test_what_matters_most_is_first_and_the_machine_is_last() -> None:
    keys = ["a/unknown", "system/cpu", "train/throughput", "train/grad_norm", "lr", "val/auc", "val/loss", "train/loss"]
    found = charts_of(keys)
    assert [(chart["title"], chart["section"]) for chart in found] == [
        ("loss", "training"),
        ("val/auc", "training"),
        ("lr", "training"),
        ("train/grad_norm", "training"),
        ("train/throughput", "training"),
        ("a/unknown", "other"),
        ("system/cpu", "system"),
    ]


def test_numbers_are_sorted_by_value() -> None:
    assert titles("layers.10/x", "layers.9/x", "b/y", "a/z") == ["a/z", "b/y", "layers.9/x", "layers.10/x"]
    assert natural("layers.9") < natural("layers.10") < natural("layers.10.a")


def test_a_loss_that_training_minimises_comes_before_its_parts() -> None:
    assert titles("a_loss", "regularization_loss", "val_loss", "zloss", "loss") == [
        "loss", "a_loss", "regularization_loss", "zloss",
    ]  # fmt: skip


def test_many_charts_that_differ_in_a_number_are_no_main_charts() -> None:
    layers = [f"layers.{number}/grad_norm" for number in range(MANY + 1)]
    found = {chart["title"]: chart["section"] for chart in charts_of([*layers, "train/grad_norm"])}
    assert {found[key] for key in layers} == {"other"}
    assert found["train/grad_norm"] == "training"
    assert {chart["section"] for chart in charts_of(layers[:MANY])} == {"training"}


@pytest.mark.parametrize(
    ("key", "role"),
    [
        ("train/loss", Role.LOSS),
        ("regularization_loss", Role.LOSS),
        ("val/acc1", Role.SCORE),
        ("eval/rmse", Role.SCORE),
        ("learning_rate", Role.RATE),
        ("lr-Adam", Role.RATE),
        ("query_grad_norm", Role.NORM),
        ("train/samples_per_second", Role.THROUGHPUT),
        ("perf/tokens per sec", Role.THROUGHPUT),
        ("query_nonfinite", Role.OTHER),
        ("train/epoch", Role.OTHER),
        ("system/cpu_loss", Role.SYSTEM),
    ],
)
def test_the_words_of_a_key_tell_its_role(key: str, role: Role) -> None:
    assert role_of(key) is role


@given(st.lists(KEYS, unique=True))
def test_every_metric_is_in_one_chart_in_any_order_of_the_keys(keys: list[str]) -> None:
    found = charts_of(keys)
    assert sorted(chain.from_iterable(chart["metrics"] for chart in found)) == sorted(keys)
    assert charts_of(reversed(keys)) == found
    sections = [chart["section"] for chart in found]
    assert sections.count("system") == 0 or set(sections[-sections.count("system") :]) == {"system"}
    assert all((chart["section"] == "system") == chart["metrics"][0].startswith("system/") for chart in found)
