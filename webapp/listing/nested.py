"""Nested runs, folded under their parents: in the list of all runs, unless it is sorted by a parameter or a metric.

A search, and an order by values, show every run in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.lookups import IsNull

from store.models import Run
from webapp.annotations.models import Annotation
from webapp.listing.view import View
from webapp.run.summary import Listed, listed
from webapp.visibility.reader import visible

MOST_SHOWN = 50
"""The max number of nested runs that unfold under one parent; the list `parent = RUN_ID` has all."""


@dataclass(frozen=True)
class Nested:
    """The nested runs of the runs of a page: their number by parent, and the IDs of those that are unfolded."""

    counts: dict[str, int] = field(default_factory=dict)
    children: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, run_ids: Sequence[str], opened: Sequence[str], hidden: frozenset[str]) -> Self:
        """One statement, and one for each opened parent on the page; a nested run may be one."""
        runs, known = _listable(hidden), set(run_ids)
        children: dict[str, list[str]] = {}
        while parent := next((each for each in opened if each in known and each not in children), None):
            nested = runs.filter(parent=parent).order_by("start_time", "run_id").values_list("run_id", flat=True)
            children[parent] = [run_id for run_id in nested[:MOST_SHOWN] if run_id not in known]
            known |= set(children[parent])
        counted = runs.filter(parent__in=known).exclude(parent=F("run_id")).values("parent").annotate(runs=Count("*"))
        return cls(dict(counted.values_list("parent", "runs")), children)

    def runs(self) -> list[Listed]:
        """The unfolded runs. Five queries; none without any."""
        run_ids = [run_id for found in self.children.values() for run_id in found]
        return list(listed(run_ids).values()) if run_ids else []


def folds(view: View) -> bool:
    """Whether the view has nested runs folded under their parents."""
    return not (view.query.conditions or view.group or "." in view.sort.name)


def is_folded(hidden: frozenset[str]) -> Q:
    """Match the runs whose parent is in the list of a reader from whom these experiments are hidden.

    The parent is looked up run by run; planners may turn EXISTS into a list of all runs.
    """
    parent = Subquery(_listable(hidden).filter(pk=OuterRef("parent")).values("pk")[:1])
    return ~Q(parent="") & ~Q(parent=F("run_id")) & Q(IsNull(parent, False))


def _listable(hidden: frozenset[str]) -> QuerySet[Run]:
    archived = Annotation.objects.filter(run_id=OuterRef("run_id"), archived=True)
    return visible(Run.objects.filter(~Exists(archived)), hidden)
