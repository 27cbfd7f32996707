"""Somebody who reads, and what they may not see: a run of an experiment that is hidden from them is to them a run that
nobody has announced.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from typing import Any, TypeVar

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from store.models import Run
from webapp.visibility.models import Restriction

M = TypeVar("M", bound=Model)
NOTHING: frozenset[str] = frozenset()
"""What is hidden from administrators, and where nothing is restricted."""


class Reader:
    """Asks the database once what is hidden, and once of what experiment a run is that may be: it is good for as long
    as ``readers.SECONDS``. Whoever reads without an account sees what is for everybody.
    """

    def __init__(self, user: User | AnonymousUser) -> None:
        self._user = user
        self._seen: dict[str, bool] = {}

    @cached_property
    def hidden(self) -> frozenset[str]:
        """The names of the experiments whose runs are not for this reader. One query; none for an administrator, nor
        for a session while nothing is restricted (``RoleBackend`` knows it).
        """
        if self._user.is_superuser or not getattr(self._user, "restricted", True):
            return NOTHING
        restricted = Restriction.objects.all()
        if isinstance(self._user, User):
            restricted = restricted.exclude(groups__user=self._user)
        return frozenset(restricted.values_list("experiment_name", flat=True))

    def sees(self, run_id: str) -> bool:
        """Whether this run may be shown."""
        return bool(self.seen([run_id]))

    def seen(self, run_ids: Collection[str]) -> list[str]:
        """Those of the runs that may be shown, in order; one that is not known is shown as such. At most one query, and
        none while nothing is hidden.
        """
        if not self.hidden:
            return list(run_ids)
        unasked = [run_id for run_id in run_ids if run_id not in self._seen]
        if unasked:
            experiments = Run.objects.filter(pk__in=unasked).values_list("run_id", "experiment_name")
            self._seen |= {run_id: experiment not in self.hidden for run_id, experiment in experiments}
        return [run_id for run_id in run_ids if self._seen.get(run_id, True)]


def reader_of(request: HttpRequest) -> Reader:
    """Who reads; there for every view that is not open to anyone."""
    reader: Reader = request.reader  # type: ignore[attr-defined]
    return reader


def visible(rows: QuerySet[M, Any], hidden: frozenset[str], run: str = "") -> QuerySet[M, Any]:
    """Those of the rows whose runs are of no hidden experiment; ``run`` leads from them to their run's columns. Without
    any hidden one the same query.
    """
    return rows.exclude(**{f"{run}experiment_name__in": sorted(hidden)}) if hidden else rows
