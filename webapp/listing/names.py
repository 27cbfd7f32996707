"""Names of parameters, metrics and their numbers, as people write them in queries, orders and columns.

``val_loss`` is a metric's last value, as in MLflow; ``val_loss.min`` is a statistic of it, unless a metric has that
key. In backticks a name is always the key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from store.models import RunMetric
from warmboard.contract.directions import Direction, direction
from webapp.listing.batch import run_batch

STATISTICS = ("min", "max", "first", "last", "count", "best")
PREFIXES = {
    "metric": "metric", "metrics": "metric",
    "param": "param", "params": "param", "parameter": "param", "parameters": "param",
    "tag": "tag", "tags": "tag",
    "attr": "attribute", "attribute": "attribute", "attributes": "attribute", "run": "attribute",
}  # fmt: skip
"""The kinds of names, by the words before the dot; MLflow accepts the same."""
ATTRIBUTES = {
    "status": "status", "run_id": "run", "experiment": "experiment", "experiment_name": "experiment",
    "run_name": "name", "run name": "name", "Run name": "name", "Run Name": "name",
    "start_time": "started", "created": "started", "Created": "started", "end_time": "ended",
}  # fmt: skip
"""MLflow's attributes of a run, and their names here."""
BEST = {Direction.LOWER_IS_BETTER: "min", Direction.HIGHER_IS_BETTER: "max", Direction.UNKNOWN: ""}
_TICKS = re.compile(rf"`([^`]+)`(?:\.({'|'.join(STATISTICS)}))?")


@dataclass(frozen=True)
class Measure:
    """A number of a metric. Without a ``statistic`` it is the last value. ``exact``: the key was in backticks, so it
    ends where they end.
    """

    key: str
    statistic: str = ""
    exact: bool = False

    @classmethod
    def parse(cls, text: str) -> Measure:
        ticks = _TICKS.fullmatch(text)
        if ticks:
            return cls(ticks[1], ticks[2] or "", exact=True)
        key, _, statistic = text.rpartition(".")
        return cls(key, statistic) if key and statistic in STATISTICS else cls(text)

    @property
    def whole(self) -> str:
        """The key that the name would be if it had no statistic."""
        return f"{self.key}.{self.statistic}" if self.statistic else self.key

    @property
    def column(self) -> str:
        """The column of ``RunMetric``, of a measure that ``Names`` has settled."""
        return self.statistic or "last"


@dataclass(frozen=True)
class Names:
    """The keys of metrics that end like a statistic."""

    keys: frozenset[str] = frozenset()

    @classmethod
    def of(cls, measures: Iterable[Measure]) -> Names:
        """Look up which of these names are keys. At most one statement; none if no name ends like a statistic."""
        asked = sorted({measure.whole for measure in measures if measure.statistic and not measure.exact})
        answers = run_batch([RunMetric.objects.filter(key=key).values_list("run_id")[:1] for key in asked])
        return cls(frozenset(key for key, found in zip(asked, answers, strict=True) if found))

    def settle(self, measure: Measure) -> Measure:
        """The measure with its true key, and with a column's name as its statistic."""
        if not measure.exact and measure.whole in self.keys:
            return Measure(measure.whole, exact=True)
        best = measure.statistic == "best"
        return Measure(measure.key, BEST[direction(measure.key)] if best else measure.statistic, exact=True)


def split(text: str) -> tuple[str, str]:
    """The kind and the key of ``metrics.loss``; a metric's key keeps its backticks. The kind is empty if the text has
    none of ``PREFIXES``.
    """
    prefix, _, key = text.partition(".")
    kind = PREFIXES.get(prefix, "") if key else ""
    if len(key) > 2 and key[0] == key[-1] and key[0] in "`\"'":
        key = f"`{key[1:-1]}`" if kind == "metric" else key[1:-1]
    return kind, key
