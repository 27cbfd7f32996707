"""The catalogue maps every key that is written to its place, and back."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import numpy as np
import pytest

from warmboard.contract import catalogue
from warmboard.contract.catalogue import Place, arrange, binned_series, is_named, key_of, named_series, place_of
from warmboard.contract.entries import EntryKey, HistogramType, Resolution, Series, Tower
from warmboard.statistics.values import GradientSums, weight_norms, weight_statistics

LOSSES = [f"{part}{name}" for part in ("", "val_") for name in ("loss", "regularization_loss", "total_loss")]


def written() -> set[str]:
    """The keys of one epoch, as `warmboard.statistics` computes them; Keras logs the losses."""
    weights = {tower.value: [np.arange(6, dtype=np.float32)] for tower in Tower}
    gradients = GradientSums()
    gradients.add(weights)
    keys = {*LOSSES, *weight_norms(weights), *gradients.values()}
    return keys.union(*(weight_statistics(tower, arrays) for tower, arrays in weights.items()))


def example(name: str) -> dict[str, Any]:
    text = (files("warmboard.contract") / "examples" / name).read_text()
    document: dict[str, Any] = json.loads(text)
    return document


def test_every_key_that_is_written_has_one_place_and_comes_back() -> None:
    keys = written()
    places = {key: place_of(key) for key in keys}
    assert len(set(places.values())) == len(keys) == 135
    assert {key_of(place) for place in places.values()} == keys
    others = {key for key in keys if not is_named(key)}
    assert others == {f"{tower}_{what}_nonfinite" for tower in Tower for what in ("weights", "grad")}


def test_every_named_key_is_written() -> None:
    assert catalogue.PLACES.keys() <= written()


def test_every_array_of_a_history_has_a_key() -> None:
    """A group that is added to the document is added to the catalogue too, or this fails."""
    numbers: dict[str, Series] = {key: [float(number)] for number, key in enumerate(catalogue.PLACES)}
    groups = arrange(numbers.__getitem__)
    document = example("entry-history-full.json")
    assert named_series(groups) == numbers
    assert shape(groups) == {name: shape(document[name]) for name in groups}
    named = document.keys() - {"metrics", "envelope", "earlier", "replaced"}
    assert {name for name in named if document[name] and holds_arrays(document[name])} == groups.keys()


def shape(value: Any) -> Any:
    return {name: shape(inner) for name, inner in value.items()} if isinstance(value, dict) else None


def holds_arrays(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(one, list) or holds_arrays(one) for one in value.values())


def test_a_place_names_the_entry_that_has_the_metric() -> None:
    entries = {place_of(key).entry for key in written()}
    keys = [EntryKey.histogram("run", type_, tower, Resolution.FULL) for type_ in HistogramType for tower in Tower]
    assert entries == {key.name for key in (*keys, EntryKey.history("run", Resolution.FULL))}


def test_a_histogram_gives_its_columns() -> None:
    histogram = {"type": "gradients", "tower": "query", "counts": [[1, 2], [3, 4]], "underflow": [5, 6]}
    found = binned_series(histogram | {"overflow": [7, 8]})
    assert found == {
        "query_grad_hist_bin_0": [1, 3],
        "query_grad_hist_bin_1": [2, 4],
        "query_grad_hist_underflow": [5, 6],
        "query_grad_hist_overflow": [7, 8],
    }


@pytest.mark.parametrize("key", ["loss2", "query_hist_bin_07", "query_hist_bin_", "query_hist", "constructor", "x_y"])
def test_other_keys_are_among_the_metrics(key: str) -> None:
    assert place_of(key) == Place("history", ("metrics", key))
    assert key_of(place_of(key)) == key


@pytest.mark.parametrize("place", [Place("history", ("loss", "test")), Place("metric-index", ("groups",))])
def test_a_place_without_a_metric_is_an_error(place: Place) -> None:
    with pytest.raises(KeyError):
        key_of(place)
