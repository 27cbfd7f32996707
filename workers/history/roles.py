"""A metric's role in a run, found by its name in any framework's spelling. Pure; no input or output."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

from warmboard.contract.catalogue import is_histogram
from workers.history.drawing import Curve

VALIDATION = frozenset({"val", "valid", "validation", "eval", "dev"})
TRAINING = frozenset({"train", "training"})
TESTING = frozenset({"test", "testing"})
LESS_IS_BETTER = frozenset({"error", "err", "rmse", "mse", "mae", "mape", "nll", "perplexity", "ppl"})
MORE_IS_BETTER = frozenset({"accuracy", "acc", "auc", "f1", "precision", "recall", "ndcg", "mrr", "r2", "iou", "dice"})
NO_LOSS = frozenset({"regularization", "regularisation", "reg", "l1", "l2", "kl", "penalty", "scale", "weight", "lr"})
"""A metric with one of these words is only a part of a loss, or a setting."""
RATES = frozenset({"lr", "learningrate"})
NORMS = frozenset({"norm", "norms", "gradnorm"})
COUNTS = frozenset({"nonfinite", "step", "epoch", "iteration"})
THROUGHPUT = frozenset(
    {"throughput", "time", "seconds", "sec", "duration", "runtime", "latency", "speed", "tokens", "samples", "images",
     "fps", "mfu", "flops", "tflops"}
)  # fmt: skip
PLAIN = frozenset({"loss", "total", "epoch", "step"})
"""Training minimises a loss with no other words. A generator's or a policy's loss may rise in a healthy run."""
SYSTEM = "system/"
"""The prefix of the metrics that MLflow logs about the machine."""
LABELS = {
    "loss": "training loss",
    "val_loss": "validation loss",
    "total_loss": "total training loss",
    "val_total_loss": "total validation loss",
}
_WORD = re.compile(r"[a-z0-9]+")
_GRADIENT_NORM = re.compile(r"grad.*norm", re.IGNORECASE | re.DOTALL)
_WEIGHTS = re.compile(r"(?:(.+)[_/. -])?weights?_(norm|std|mean|min|max)", re.DOTALL)
KEYS = 4_096
"""The max number of metric keys whose words are cached: a few megabytes, or tens for the longest keys."""
_JUDGES = ("norm", "std")
"""At least one of these is needed to tell whether a tower's weights move."""


@dataclass(frozen=True)
class Pair:
    """The training and the validation side of a metric. ``sign`` is 1 if lower is better, otherwise -1."""

    training: str
    validation: str
    sign: int


def pairs_of(curves: Mapping[str, Curve]) -> list[Pair]:
    """Pair ``val_x`` with ``x`` or ``train_x``, taking the longest curve of each side.

    Losses if there are any, ``val_loss`` first; otherwise scores.
    """
    found = sorted(_pairs(curves), key=lambda pair: (pair.validation != "val_loss", pair.validation))
    losses = [pair for pair in found if pair.sign == 1]
    if losses and losses[0].validation == "val_loss":
        # The total repeats the loss, plus the regularisation.
        losses = [pair for pair in losses if pair.validation != "val_total_loss"]
    return losses or found


def judge_of(curves: Mapping[str, Curve], pairs: Iterable[Pair]) -> str | None:
    """The metric that judges epochs: validation loss, or training loss if there is none."""
    paired = [pair.validation for pair in pairs if pair.sign == 1]
    losses = sorted(filter(is_loss, curves), key=lambda key: (not words_of(key) & VALIDATION, key))
    return _first_followed(curves, chain(["val_loss"], paired, ["loss"], losses))


def training_loss_of(curves: Mapping[str, Curve], pairs: Iterable[Pair]) -> str | None:
    """The loss that training minimises."""
    paired = [pair.training for pair in pairs if pair.sign == 1]
    plain = [key for key in curves if is_plain_loss(key) and not words_of(key) & VALIDATION]
    return _first_followed(curves, chain(["loss"], paired, plain))


def timed_by(curves: Mapping[str, Curve]) -> str | None:
    """The metric whose steps count as the run's: the training loss, the judging loss, or the longest curve."""
    pairs = pairs_of(curves)
    leading = training_loss_of(curves, pairs) or judge_of(curves, pairs)
    # MLflow's system metrics have their own clock.
    keys = [key for key in curves if not key.startswith(SYSTEM)]
    return leading or max(keys, key=lambda key: len(curves[key].steps), default=None)


def towers_of(keys: Iterable[str]) -> dict[str, list[str]]:
    """Map each tower to the metrics of its weights, the norm first.

    Metrics of all weights together have an empty name, and are included only if there are no towers.
    """
    towers: dict[str, dict[str, str]] = defaultdict(dict)
    for key in keys:
        if found := _WEIGHTS.fullmatch(key):
            towers[found[1] or ""][found[2]] = key
    judged = {
        name: [statistics[name_] for name_ in ("norm", "std", "mean", "min", "max") if name_ in statistics]
        for name, statistics in towers.items()
        if any(judge in statistics for judge in _JUDGES)
    }
    return {name: keys for name, keys in judged.items() if name or len(judged) == 1}


@lru_cache(maxsize=KEYS)
def is_loss(key: str) -> bool:
    return _sign(words_of(key)) == 1


@lru_cache(maxsize=KEYS)
def is_plain_loss(key: str) -> bool:
    return is_loss(key) and words_of(key) - TRAINING - VALIDATION <= PLAIN


def is_gradient_norm(key: str) -> bool:
    return bool(_GRADIENT_NORM.search(key))


def is_vital(key: str) -> bool:
    """Whether the metric is a loss, or about gradients or weights. Unlike a score, it should never be undefined."""
    return "loss" in key.lower() or "grad" in key.lower() or bool(_WEIGHTS.fullmatch(key)) or is_histogram(key)


@lru_cache(maxsize=KEYS)
def words_of(key: str) -> frozenset[str]:
    return frozenset(_WORD.findall(key.lower()))


def _pairs(curves: Mapping[str, Curve]) -> Iterator[Pair]:
    sides: dict[frozenset[str], tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for key, curve in curves.items():
        if len(curve.steps) > 1:
            words, is_validation = _side_of(key)
            sides[words][is_validation].append(key)
    for words, (training, validation) in sides.items():
        if training and validation and (sign := _sign(words)):
            yield Pair(_longest(curves, training), _longest(curves, validation), sign)


@lru_cache(maxsize=KEYS)
def _side_of(key: str) -> tuple[frozenset[str], bool]:
    """The words that both sides of a metric have, and whether this is the validation side."""
    words = words_of(key)
    return words - VALIDATION - TRAINING - {"epoch"}, bool(words & VALIDATION)


def _longest(curves: Mapping[str, Curve], keys: Iterable[str]) -> str:
    return max(keys, key=lambda key: len(curves[key].steps))


def _first_followed(curves: Mapping[str, Curve], keys: Iterable[str]) -> str | None:
    """The first key with a curve of more than one step."""
    return next((key for key in keys if key in curves and len(curves[key].steps) > 1), None)


def _sign(words: frozenset[str]) -> int:
    """1 if lower is better, -1 if higher is better, 0 if unknown."""
    if words & NO_LOSS:
        return 0
    if words & LESS_IS_BETTER or any("loss" in word for word in words):
        return 1
    return -1 if words & MORE_IS_BETTER else 0
