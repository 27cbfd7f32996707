"""The numbers of a page's runs: what cells show of metrics, and which metrics the runs have."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from django.db.models import Count

from store.models import RunMetric
from webapp.listing.columns import Key, Measured
from webapp.listing.names import Measure, Names
from webapp.run.summary import Listed

MOST_COUNTED = 1000
SYSTEM = "system/"
"""MLflow's metrics of the machine begin so."""


@dataclass(frozen=True)
class Numbers:
    """Loads the numbers of runs for these columns, page by page."""

    measures: Mapping[str, Measure] = field(default_factory=dict)

    @classmethod
    def of(cls, keys: Iterable[Key]) -> Numbers:
        """At most one statement: see ``Names.of``."""
        written = {key.key: Measure.parse(key.key) for key in keys if key.is_metric}
        names = Names.of(written.values())
        return cls({text: names.settle(measure) for text, measure in written.items()})

    def measured(self, runs: Sequence[Listed]) -> list[Measured]:
        """The runs with their numbers. One statement; none without a column of a metric."""
        rows = self._rows([listed.run.run_id for listed in runs])
        return [Measured(**vars(listed), numbers=self._numbers(rows, listed.run.run_id)) for listed in runs]

    def _rows(self, run_ids: Sequence[str]) -> dict[tuple[str, str], RunMetric]:
        keys = {measure.key for measure in self.measures.values()}
        if not keys or not run_ids:
            return {}
        found = RunMetric.objects.filter(run_id__in=run_ids, key__in=keys)
        return {(row.run_id, row.key): row for row in found}

    def _numbers(self, rows: Mapping[tuple[str, str], RunMetric], run_id: str) -> dict[str, float]:
        found = ((text, measure, rows.get((run_id, measure.key))) for text, measure in self.measures.items())
        numbers = {text: _number(row, measure.column) for text, measure, row in found if row}
        return {text: number for text, number in numbers.items() if number is not None}


def _number(row: RunMetric, column: str) -> float | None:
    """A number of the row; NaN if no number is finite; None if the row is older than the column."""
    if column != "last" and row.count is None:
        return None
    value: float | None = getattr(row, column)
    return math.nan if value is None else value


def count_keys(runs: Sequence[Listed]) -> Counter[Key]:
    """How many of these runs have each parameter and metric. One statement."""
    counts = Counter(Key("param", key) for listed in runs for key in listed.run.params)
    metrics = RunMetric.objects.filter(run_id__in=[listed.run.run_id for listed in runs]).values("key")
    counted = metrics.annotate(runs=Count("*")).order_by("-runs", "key")[:MOST_COUNTED]
    for key, count in counted.values_list("key", "runs"):
        counts[Key("metric", key)] = count
    return counts


def is_system(key: Key) -> bool:
    return key.is_metric and key.key.startswith(SYSTEM)
