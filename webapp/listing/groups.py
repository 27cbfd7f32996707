"""The list in groups: each with its number of runs, its best value of a metric, and its first runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Exists, F, FilteredRelation, Max, Min, OuterRef, Q, QuerySet

from store.models import Run, RunParam
from warmboard.contract.directions import lower_is_better
from webapp.listing.columns import Key
from webapp.listing.conditions import Rows, narrow
from webapp.listing.find import follow, walk
from webapp.listing.query import Condition
from webapp.listing.sorting import Sort
from webapp.listing.view import View
from webapp.run.summary import Listed, listed

MOST_GROUPS, RUNS_SHOWN = 20, 5
GROUP_COLUMNS = {"status": "status", "experiment": "experiment_name"}


@dataclass(frozen=True)
class Best:
    """The metric that groups show, and whether its lowest value is the best."""

    metric: str
    lowest: bool

    @classmethod
    def of(cls, sort: Sort, keys: Sequence[Key]) -> Best | None:
        """The metric of the order, whose first value is the best; otherwise the first metric that is a column."""
        kind, _, key = sort.name.partition(".")
        if kind == "metric":
            return cls(key, not sort.descending)
        key = next((key.key for key in keys if key.is_metric), "")
        return cls(key, lower_is_better(key)) if key else None


@dataclass(frozen=True)
class Group:
    """A group. ``condition`` matches its runs; None: the runs that lack the parameter."""

    condition: Condition | None
    count: int
    best: float | None
    runs: list[Listed]


def groups(view: View, best: Best | None, hidden: frozenset[str]) -> list[Group]:
    """The largest groups, each with its first runs in the view's order, for a reader from whom the experiments
    ``hidden`` are hidden. At most ten statements.
    """
    [all_of_them] = narrow([view.query], hidden)
    counted = list(_count(all_of_them.apply(Rows(Run.objects.all())), view.group, best))
    conditions = [_condition(view.group, value) for value, _, _ in counted]
    queries = [view.query.with_(condition) if condition else view.query for condition in conditions]
    segments = view.sort.segments()
    walks = [
        walk(segments, narrowed, RUNS_SHOWN, only=None if condition else _lacks(view.group))
        for condition, narrowed in zip(conditions, narrow(queries, hidden), strict=True)
    ]
    firsts = follow(walks)
    runs = listed({run_id for first in firsts for run_id in first})
    return [
        Group(condition, count, best, [runs[run_id] for run_id in first])
        for condition, (_, count, best), first in zip(conditions, counted, firsts, strict=True)
    ]


def _count(runs: QuerySet[Run], group: str, best: Best | None) -> QuerySet[Run, tuple[Any, int, float | None]]:
    """Value, number of runs and best value of each group, largest first."""
    kind, _, key = group.partition(".")
    if kind == "param":
        runs = runs.alias(grouped=FilteredRelation("param_rows", condition=Q(param_rows__key=key)))
    measured = FilteredRelation("metric_rows", condition=Q(metric_rows__key=best.metric if best else ""))
    way: Callable[[str], Any] = Min if best and best.lowest else Max
    return (
        runs.alias(measured=measured)
        .values(value=F("grouped__text" if kind == "param" else GROUP_COLUMNS[kind]))
        .annotate(runs=Count("*"), best=way("measured__last"))
        .order_by("-runs", "value")
        .values_list("value", "runs", "best")[:MOST_GROUPS]
    )


def _condition(group: str, value: str | None) -> Condition | None:
    field, _, key = group.partition(".")
    return None if value is None else Condition(field, "=", value, key, quoted=True)


def _lacks(group: str) -> Q:
    return ~Q(Exists(RunParam.objects.filter(run_id=OuterRef("run_id"), key=group.partition(".")[2])))
