"""The list in groups: each with its number of runs, its best value of a metric, and its first runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import Count, Exists, F, FilteredRelation, Max, Min, OuterRef, Q, QuerySet

from store.models import Run, RunMetric, RunParam
from warmboard.contract.directions import lower_is_better
from webapp.exports.formats import number as exact
from webapp.listing.columns import Key, Measured
from webapp.listing.conditions import Rows, narrow
from webapp.listing.find import follow, walk
from webapp.listing.measured import Numbers
from webapp.listing.names import Measure, Names
from webapp.listing.query import Condition
from webapp.listing.sorting import Sort
from webapp.listing.view import View
from webapp.run.summary import listed

MOST_GROUPS, RUNS_SHOWN = 20, 5
GROUP_COLUMNS = {"status": "status", "experiment": "experiment_name"}
ROWS = {"param": "param_rows", "metric": "metric_rows"}


@dataclass(frozen=True)
class Best:
    """The number of a metric that groups show, and whether its lowest value is the best."""

    metric: str
    lowest: bool

    @classmethod
    def of(cls, sort: Sort, keys: Sequence[Key]) -> Best | None:
        """The metric of the order, whose first value is the best; otherwise the first metric that is a column."""
        kind, _, key = sort.name.partition(".")
        if kind == "metric":
            return cls(key, not sort.descending)
        key = next((key.key for key in keys if key.is_metric), "")
        return cls(key, lower_is_better(Measure.parse(key).key)) if key else None

    @property
    def measure(self) -> Measure:
        return Measure.parse(self.metric)


@dataclass(frozen=True)
class Grouping:
    """What a group's runs have in common: a value of ``column``, of the run or of its ``rows`` with this ``key``."""

    name: str
    rows: str
    key: str
    column: str

    @classmethod
    def parse(cls, text: str) -> Grouping:
        kind, _, key = text.partition(".")
        if kind in ROWS:
            return cls(text, ROWS[kind], key, "text" if kind == "param" else "last")
        return cls(text, "", "", GROUP_COLUMNS[kind])

    @property
    def measures(self) -> list[Measure]:
        return [Measure.parse(self.key)] if self.rows == ROWS["metric"] else []

    def settled(self, names: Names) -> Grouping:
        """This, with the key and the column that a metric's name means."""
        for measure in map(names.settle, self.measures):
            return replace(self, key=measure.key, column=measure.column)
        return self

    def condition(self, value: Any) -> Condition | None:
        """The condition that the group's runs meet; None for those without a value."""
        if value is None:
            return None
        for measure in self.measures:
            return Condition("metric", "=", str(exact(value)), **vars(measure))
        field, _, key = self.name.partition(".")
        return Condition(field, "=", value, key, quoted=True)

    def lacks(self) -> Q:
        """Match the runs without a value, or with NaN."""
        of_run = (RunParam if self.rows == ROWS["param"] else RunMetric).objects.filter(run_id=OuterRef("run_id"))
        return ~Q(Exists(of_run.filter(key=self.key, **{f"{self.column}__isnull": False})))


@dataclass(frozen=True)
class Group:
    """A group. ``condition`` matches its runs; None: the runs that lack the parameter."""

    condition: Condition | None
    count: int
    best: float | None
    runs: list[Measured]


def groups(view: View, best: Best | None, keys: Sequence[Key], hidden: frozenset[str]) -> list[Group]:
    """The largest groups, each with its first runs in the view's order and the numbers of these columns, for a reader
    from whom the experiments ``hidden`` are hidden. At most fourteen statements.
    """
    grouping = Grouping.parse(view.group)
    asked = [*view.query.measures, *view.sort.measures, *grouping.measures, *([best.measure] if best else [])]
    names = Names.of(asked)
    grouped = grouping.settled(names)
    [all_of_them] = narrow([view.query], hidden, names)
    shown = names.settle(best.measure) if best else None
    counted = list(_count(all_of_them.apply(Rows(Run.objects.all())), grouped, best, shown))
    conditions = [grouping.condition(value) for value, _, _ in counted]
    queries = [view.query.with_(condition) if condition else view.query for condition in conditions]
    segments = view.sort.segments(names)
    walks = [
        walk(segments, narrowed, RUNS_SHOWN, only=None if condition else grouped.lacks())
        for condition, narrowed in zip(conditions, narrow(queries, hidden, names), strict=True)
    ]
    firsts = follow(walks)
    found = listed({run_id for first in firsts for run_id in first})
    runs = {run.run.run_id: run for run in Numbers.of(keys).measured(list(found.values()))}
    return [
        Group(condition, count, best, [runs[run_id] for run_id in first])
        for condition, (_, count, best), first in zip(conditions, counted, firsts, strict=True)
    ]


def _count(
    runs: QuerySet[Run], group: Grouping, best: Best | None, shown: Measure | None
) -> QuerySet[Run, tuple[Any, int, float | None]]:
    """Value, number of runs and best value of each group, largest first."""
    if group.rows:
        runs = runs.alias(grouped=FilteredRelation(group.rows, condition=Q(**{f"{group.rows}__key": group.key})))
    key, column = (shown.key, shown.column) if shown else ("", "last")
    measured = FilteredRelation("metric_rows", condition=Q(metric_rows__key=key))
    way: Callable[[str], Any] = Min if best and best.lowest else Max
    return (
        runs.alias(measured=measured)
        .values(value=F(f"grouped__{group.column}" if group.rows else group.column))
        .annotate(runs=Count("*"), best=way(f"measured__{column}"))
        .order_by("-runs", "value")
        .values_list("value", "runs", "best")[:MOST_GROUPS]
    )
