"""The metric keys of the two-tower catalogue (the trainer writes them), and where each has its place in a document."""

from __future__ import annotations

import re

from warmboard.contract.entries import HistogramType, Tower

LOSS = {
    "train": "loss",
    "val": "val_loss",
    "regularization": "regularization_loss",
    "val_regularization": "val_regularization_loss",
    "total": "total_loss",
    "val_total": "val_total_loss",
}
WEIGHT_NORM = {"total": "weight_norm", "query": "query_weight_norm", "candidate": "candidate_weight_norm"}
GRADIENT_NORM = {tower.value: f"{tower}_grad_norm" for tower in Tower}
WEIGHT_STATS = {tower: {name: f"{tower}_weights_{name}" for name in ("mean", "std", "min", "max")} for tower in Tower}
GRADIENT_STATS = {
    tower: {name: f"{tower}_grad_{name}" for name in ("mean", "std", "min", "max", "norm")} for tower in Tower
}
STEM = {HistogramType.WEIGHTS: "hist", HistogramType.GRADIENTS: "grad_hist"}
NAMED_KEYS = frozenset(
    [*LOSS.values(), *WEIGHT_NORM.values()]
    + [key for stats in (WEIGHT_STATS, GRADIENT_STATS) for keys in stats.values() for key in keys.values()]
)
_HISTOGRAM_KEY = re.compile(r"(?:query|candidate)_(?:grad_)?hist_(?:bin_\d+|underflow|overflow)")
_BIN_KEY = re.compile(r"(.+)_bin_(\d+)")


def is_histogram(key: str) -> bool:
    """Whether the metric is a part of a histogram."""
    return bool(_HISTOGRAM_KEY.fullmatch(key))


def is_named(key: str) -> bool:
    """Whether the metric has a place of its own in the documents."""
    return key in NAMED_KEYS or is_histogram(key)


def bin_of(key: str) -> tuple[str, int] | None:
    """``query_hist_bin_7`` → ``("query_hist", 7)``; None for any other key."""
    found = _BIN_KEY.fullmatch(key) if is_histogram(key) else None
    return (found[1], int(found[2])) if found else None
