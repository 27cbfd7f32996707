"""Which values of a metric are better, by its key: the one rule, as docs/reference/compare.md tells it.

Browsers have the same rule in ``webapp/static/webapp/compare/direction.js``; a test compares the two.
"""

from __future__ import annotations

import re
from enum import IntEnum
from string import digits

LOWER = (
    "loss", "error", "err", "mae", "mse", "rmse", "mape", "nll", "perplexity", "ppl", "wer", "cer", "fid", "latency",
    "nonfinite",
)  # fmt: skip
HIGHER = (
    "recall", "precision", "accuracy", "acc", "auc", "f1", "ndcg", "mrr", "map", "hits", "iou", "dice", "bleu", "rouge",
    "r2", "score",
)  # fmt: skip
_CAMEL = re.compile(r"([a-z])([A-Z])")
_SEPARATORS = re.compile(r"[^a-z0-9]+")


class Direction(IntEnum):
    LOWER_IS_BETTER = -1
    UNKNOWN = 0
    HIGHER_IS_BETTER = 1


def direction(key: str) -> Direction:
    """The direction that a word of the key decides, with or without the digits at its end: ``acc5`` is an ``acc``.
    Words of ``LOWER`` are looked for first.
    """
    words = set(_SEPARATORS.split(_CAMEL.sub(r"\1 \2", key).lower()))
    words |= {word.rstrip(digits) for word in words}
    if words & set(LOWER):
        return Direction.LOWER_IS_BETTER
    return Direction.HIGHER_IS_BETTER if words & set(HIGHER) else Direction.UNKNOWN


def lower_is_better(key: str) -> bool:
    """Whether the rule says so; False also where it can't say."""
    return direction(key) is Direction.LOWER_IS_BETTER
