"""The metric keys that the two-tower trainer writes, and the place of each in a document: the one mapping, both ways.

``place_of`` maps a key to its place and ``key_of`` maps it back. ``arrange`` writes the named arrays of a history and
``named_series`` reads them; ``binned_series`` reads a histogram. Browsers have the same mapping in
``webapp/static/webapp/charts/catalogue.js``; tests/webapp/assets/test_catalogue.py compares it with ``as_json``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from warmboard.contract.entries import HistogramType, Series, Tower

Path = tuple[str, ...]
HISTORY = "history"
STATISTICS = ("mean", "std", "min", "max")
STEM = {HistogramType.WEIGHTS: "hist", HistogramType.GRADIENTS: "grad_hist"}
ALIASES = {"gradient": "weight_norm"}
"""Older names of groups; both names hold the same arrays."""


class Place(NamedTuple):
    """Where a document has a metric: ``entry`` is the name of its ``EntryKey``, ``path`` leads to the array.

    In a histogram, ``("counts", "7")`` is the column of bin 7: ``counts[i][7]`` of every epoch *i*.
    """

    entry: str
    path: Path


def _of_tower(tower: Tower) -> dict[Path, str]:
    weights: dict[Path, str] = {("weight_stats", tower.value, name): f"{tower}_weights_{name}" for name in STATISTICS}
    gradients: dict[Path, str] = {
        ("gradient_stats", tower.value, name): f"{tower}_grad_{name}" for name in (*STATISTICS, "norm")
    }
    return weights | gradients


SERIES: dict[Path, str] = {
    ("loss", "train"): "loss",
    ("loss", "val"): "val_loss",
    ("loss", "regularization"): "regularization_loss",
    ("loss", "val_regularization"): "val_regularization_loss",
    ("loss", "total"): "total_loss",
    ("loss", "val_total"): "val_total_loss",
    ("weight_norm", "total"): "weight_norm",
    **{("weight_norm", tower.value): f"{tower}_weight_norm" for tower in Tower},
    **{("gradient_norm", tower.value): f"{tower}_grad_norm" for tower in Tower},
    **{path: key for tower in Tower for path, key in _of_tower(tower).items()},
}
"""The named arrays of a history: path → metric key. A key's first path is its place; gradient norms have a second."""
_PLACES = {key: path for path, key in reversed(SERIES.items())}
PLACES: Mapping[str, Path] = {key: _PLACES[key] for key in dict.fromkeys(SERIES.values())}
"""The keys of SERIES, each with its first path."""

_STEMS = {f"{tower}_{stem}": (type_, tower) for type_, stem in STEM.items() for tower in Tower}
_HISTOGRAM_KEY = re.compile(rf"({'|'.join(_STEMS)})_(?:bin_(0|[1-9][0-9]*)|(underflow|overflow))")


def is_histogram(key: str) -> bool:
    """Whether the metric is a part of a histogram."""
    return bool(_HISTOGRAM_KEY.fullmatch(key))


def is_named(key: str) -> bool:
    """Whether the metric has a place of its own in the documents."""
    return key in PLACES or is_histogram(key)


def place_of(key: str) -> Place:
    """Where the documents have the metric; one without a place of its own is in ``metrics`` of the history."""
    if path := PLACES.get(key):
        return Place(HISTORY, path)
    if found := _HISTOGRAM_KEY.fullmatch(key):
        stem, number, side = found.groups()
        return Place(histogram_entry(*_STEMS[stem]), (side,) if side else ("counts", number))
    return Place(HISTORY, ("metrics", key))


def key_of(place: Place) -> str:
    """The metric that is there. Raises KeyError if no metric can be."""
    if place.entry == HISTORY:
        return place.path[1] if place.path[0] == "metrics" else SERIES[place.path]
    type_, tower = _HISTOGRAMS[place.entry]
    array, *number = place.path
    return bin_key(type_, tower, int(number[0])) if array == "counts" else outside_key(type_, tower, array)


def histogram_entry(type_: HistogramType, tower: Tower) -> str:
    """The name of the histogram's entry, as ``EntryKey.histogram`` has it."""
    return f"histogram-{type_}-{tower}"


_HISTOGRAMS = {histogram_entry(type_, tower): (type_, tower) for type_ in HistogramType for tower in Tower}


def bin_key(type_: HistogramType, tower: Tower, number: int) -> str:
    """``query_hist_bin_7``: how many values are in bin 7."""
    return f"{tower}_{STEM[type_]}_bin_{number}"


def outside_key(type_: HistogramType, tower: Tower, side: str) -> str:
    """``query_grad_hist_underflow``: how many values are below the first edge, or above the last (``overflow``)."""
    return f"{tower}_{STEM[type_]}_{side}"


def weights_key(tower: Tower, statistic: str) -> str:
    """``query_weights_min``; ``statistic`` is one of STATISTICS."""
    return SERIES["weight_stats", tower.value, statistic]


def edges_param(type_: HistogramType, tower: Tower) -> str:
    """``query_hist_bin_edges``: the parameter that holds the edges, comma-separated."""
    return f"{tower}_{STEM[type_]}_bin_edges"


def bin_of(key: str) -> tuple[HistogramType, Tower, int] | None:
    """``query_hist_bin_7`` → weights, query, 7; None for any other key."""
    found = _HISTOGRAM_KEY.fullmatch(key)
    return (*_STEMS[found[1]], int(found[2])) if found and found[2] else None


def arrange(series: Callable[[str], Series]) -> dict[str, Any]:
    """The named groups of a history (``loss`` … ``gradient_stats``) with ``series(key)`` at the place of every key.

    ``series`` is called once a key.
    """
    arrays = {key: series(key) for key in PLACES}
    groups: dict[str, Any] = {}
    for (*parents, name), key in SERIES.items():
        group = groups
        for parent in parents:
            group = group.setdefault(parent, {})
        group[name] = arrays[key]
    return groups | {alias: groups[name] for alias, name in ALIASES.items()}


def named_series(history: Mapping[str, Any]) -> dict[str, Series]:
    """The named arrays of a history by their metric keys, without those that the document lacks."""
    found = ((key, _follow(history, path)) for key, path in PLACES.items())
    return {key: series for key, series in found if series is not None}


def binned_series(histogram: Mapping[str, Any]) -> dict[str, Series]:
    """The columns of a histogram by their metric keys; of gradients also what is outside the edges."""
    type_, tower = HistogramType(histogram["type"]), Tower(histogram["tower"])
    columns = enumerate(zip(*histogram["counts"], strict=True))
    found: dict[str, Series] = {bin_key(type_, tower, number): list(column) for number, column in columns}
    if type_ is HistogramType.GRADIENTS:
        found |= {outside_key(type_, tower, side): histogram[side] for side in ("underflow", "overflow")}
    return found


def as_json() -> list[list[str]]:
    """``[key, …path]`` of every named array, as browsers have it: ``[["loss", "loss", "train"], …]``."""
    return [[key, *path] for path, key in SERIES.items()]


def _follow(document: Mapping[str, Any], path: Path) -> Any:
    found: Any = document
    for name in path:
        found = found.get(name) if found is not None else None
    return found
