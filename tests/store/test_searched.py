"""Parameters and the numbers of metrics as rows: exactly those of the last warming."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from store import warm
from store.models import LONGEST_KEY, LONGEST_TEXT, Run, RunMetric, RunParam, RunTag
from store.searched import MOST_TAGS, number_of
from tests.store.samples import announce, summaries, warm_run
from workers.history.points import Points


def rows() -> tuple[dict[str, tuple[str, float | None]], dict[str, float | None]]:
    params = {row.key: (row.text, row.number) for row in RunParam.objects.all()}
    return params, {row.key: row.last for row in RunMetric.objects.all()}


def test_the_rows_are_those_of_the_last_warming() -> None:
    announce()
    first = replace(
        warm_run("first"), params={"lr": "1e-3", "optimizer": "adam"}, summaries=summaries({"loss": 0.5, "recall": 0.1})
    )
    warm.put(first)
    assert rows() == ({"lr": ("1e-3", 0.001), "optimizer": ("adam", None)}, {"loss": 0.5, "recall": 0.1})
    second = replace(warm_run("second", minutes=1), params={"lr": "0.1", "l2": "0"}, summaries=summaries({"loss": 0.4}))
    warm.put(second)
    assert rows() == ({"lr": ("0.1", 0.1), "l2": ("0", 0.0)}, {"loss": 0.4})
    warm.put(replace(second, fetched_at=first.fetched_at, params={}))
    assert rows()[1] == {"loss": 0.4}, "an earlier fetch changes nothing"
    third = replace(warm_run("third", minutes=2), params={}, summaries=summaries({"recall": 0.2}))
    warm.put(third)
    assert rows() == ({}, {"recall": 0.2})


def tags() -> dict[str, str]:
    return {row.key: row.text for row in RunTag.objects.all()}


def test_the_tags_and_the_parent_are_those_of_the_last_warming() -> None:
    announce()
    first = replace(warm_run("first"), tags={"team": "vision", "mlflow.parentRunId": "run0", "x": ""}, parent="run0")
    warm.put(first)
    assert tags() == {"team": "vision", "mlflow.parentRunId": "run0", "x": ""}
    assert Run.objects.get().parent == "run0"
    warm.put(replace(warm_run("second", minutes=1), tags={"team": "speech", "y": "1"}, parent=""))
    assert tags() == {"team": "speech", "y": "1"}
    assert Run.objects.get().parent == ""
    warm.put(first)
    assert tags() == {"team": "speech", "y": "1"}, "an earlier fetch changes nothing"


def test_long_tags_are_cut_off_and_their_number_is_bounded() -> None:
    announce()
    many = {f"{number:05}": "" for number in range(MOST_TAGS)}
    warm.put(replace(warm_run("long"), tags={"!": "\N{OGHAM SPACE MARK}" * 8_000, "k" * (LONGEST_KEY + 1): "", **many}))
    found = tags()
    assert found["!"] == "\N{OGHAM SPACE MARK}" * LONGEST_TEXT
    assert len(found) == MOST_TAGS
    assert max(map(len, found)) <= LONGEST_KEY


def test_a_metric_has_the_numbers_of_all_its_points() -> None:
    announce()
    steps = np.arange(5)
    points = Points(steps, np.array([2.0, np.inf, -1.0, 3.0, np.nan]), steps)
    warm.put(replace(warm_run("one"), summaries={"loss": points.summary()} | summaries({"nan": math.nan})))
    numbers = RunMetric.objects.order_by("key").values_list("key", "last", "first", "min", "max", "count")
    assert list(numbers) == [("loss", None, 2.0, -1.0, 3.0, 5), ("nan", None, None, None, None, 1)]
    warm.put(replace(warm_run("two", minutes=1), summaries=summaries({"loss": -math.inf})))
    assert list(numbers.all()) == [("loss", -math.inf, -math.inf, None, None, 1)]


def test_long_texts_are_cut_off_and_long_keys_left_out() -> None:
    announce()
    long = replace(
        warm_run("long"),
        params={"edges": "\N{GREEK SMALL LETTER ALPHA}" * 6000, "k" * (LONGEST_KEY + 1): "x"},
        summaries=summaries({"\N{GREEK SMALL LETTER ALPHA}" * LONGEST_KEY: 1.0, "k" * (LONGEST_KEY + 1): 2.0}),
    )
    warm.put(long)
    params, metrics = rows()
    assert params == {"edges": ("\N{GREEK SMALL LETTER ALPHA}" * LONGEST_TEXT, None)}
    assert metrics == {"\N{GREEK SMALL LETTER ALPHA}" * LONGEST_KEY: 1.0}


@pytest.mark.parametrize(
    ("text", "number"),
    [("1e-3", 0.001), ("50", 50.0), ("-0.5", -0.5), ("adam", None), ("nan", None), ("inf", None), ("1_000", None),
     ("", None), ("1e999", None)],
)  # fmt: skip
def test_numbers(text: str, number: float | None) -> None:
    assert number_of(text) == number
