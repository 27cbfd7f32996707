"""Metrics and parameters in MLflow's terms: the limits of a request, and text and numbers that MLflow accepts."""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

MAX_ENTITIES_PER_BATCH = 1000
MAX_METRICS_PER_BATCH = 1000
MAX_PARAMS_PER_BATCH = 100
MAX_KEY_LENGTH = 250
MAX_PARAM_LENGTH = 6000
# MLflow 3 accepts a colon and MLflow 2 does not: this pattern is for both.
INVALID_IN_KEYS = re.compile(r"[^\w\-. /]")
# No database accepts NUL or half of a surrogate pair.
INVALID_IN_TEXT = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True)
class Metric:
    """One value of one curve. ``timestamp`` is in milliseconds since 1970."""

    key: str
    value: float
    step: int
    timestamp: int

    def encode(self) -> dict[str, Any]:
        return {
            "key": fit_key(self.key),
            "value": number(self.value),
            "timestamp": self.timestamp,
            "step": self.step,
        }


@dataclass(frozen=True)
class Batch:
    """Values on their way to MLflow. ``len(batch)`` is the number of metrics and parameters."""

    metrics: Sequence[Metric] = ()
    params: Mapping[str, object] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.metrics) + len(self.params)


def number(value: float) -> float | str:
    """Return the value as MLflow reads it. It stores a bare NaN or Infinity as 0, and drops the rest of the batch."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return float(value)


def fit_key(key: str) -> str:
    """Return the key with invalid characters replaced by ``_``. For one invalid key MLflow rejects a whole batch."""
    key = INVALID_IN_KEYS.sub("_", key)[:MAX_KEY_LENGTH]
    # MLflow validates a key as a relative path in its normal form.
    plain = posixpath.normpath(key) == key and key != "." and not key.startswith(("/", ".."))
    return key if plain else re.sub("[/.]", "_", key) or "_"


def param(value: object) -> str:
    """Return a parameter's value as text that databases accept, cut to 6,000 characters."""
    return INVALID_IN_TEXT.sub("_", str(value)[:MAX_PARAM_LENGTH])


def milliseconds(moment: datetime) -> int:
    """Return MLflow's timestamp of an aware datetime: milliseconds since 1970."""
    return round(moment.timestamp() * 1000)
