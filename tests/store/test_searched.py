"""Parameters and final metrics as rows: exactly those of the last warming."""

from __future__ import annotations

from dataclasses import replace

import pytest

from store import warm
from store.models import LONGEST_KEY, LONGEST_TEXT, RunMetric, RunParam
from store.searched import number_of
from tests.store.samples import announce, warm_run


def rows() -> tuple[dict[str, tuple[str, float | None]], dict[str, float]]:
    params = {row.key: (row.text, row.number) for row in RunParam.objects.all()}
    return params, {row.key: row.value for row in RunMetric.objects.all()}


def test_the_rows_are_those_of_the_last_warming() -> None:
    announce()
    first = replace(
        warm_run("first"), params={"lr": "1e-3", "optimizer": "adam"}, final_metrics={"loss": 0.5, "recall": 0.1}
    )
    warm.put(first)
    assert rows() == ({"lr": ("1e-3", 0.001), "optimizer": ("adam", None)}, {"loss": 0.5, "recall": 0.1})
    second = replace(
        warm_run("second", minutes=1), params={"lr": "0.1", "l2": "0"}, final_metrics={"loss": 0.4, "recall": None}
    )
    warm.put(second)
    assert rows() == ({"lr": ("0.1", 0.1), "l2": ("0", 0.0)}, {"loss": 0.4})
    warm.put(replace(second, fetched_at=first.fetched_at, params={}))
    assert rows()[1] == {"loss": 0.4}, "an earlier fetch changes nothing"
    third = replace(warm_run("third", minutes=2), params={}, final_metrics={"recall": 0.2})
    warm.put(third)
    assert rows() == ({}, {"recall": 0.2})


def test_long_texts_are_cut_off_and_long_keys_left_out() -> None:
    announce()
    long = replace(
        warm_run("long"),
        params={"edges": "\N{GREEK SMALL LETTER ALPHA}" * 6000, "k" * (LONGEST_KEY + 1): "x"},
        final_metrics={"\N{GREEK SMALL LETTER ALPHA}" * LONGEST_KEY: 1.0, "k" * (LONGEST_KEY + 1): 2.0},
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
