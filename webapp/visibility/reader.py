"""A reader, and the experiments hidden from them. Hidden runs look like unknown runs."""

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
"""The hidden experiments of administrators, or if none is restricted."""


class Reader:
    """A user and the experiments hidden from them. It queries these once, and the experiment of each run once, so it
    must not be kept longer than ``readers.SECONDS``. A reader without an account sees only unrestricted experiments.
    """

    def __init__(self, user: User | AnonymousUser) -> None:
        self._user = user
        self._seen: dict[str, bool] = {}

    @cached_property
    def hidden(self) -> frozenset[str]:
        """The names of the experiments hidden from this reader. One query; none for an administrator, or for a session
        if no experiment is restricted (``RoleBackend`` has loaded that).
        """
        if self._user.is_superuser or not getattr(self._user, "restricted", True):
            return NOTHING
        restricted = Restriction.objects.all()
        if isinstance(self._user, User):
            restricted = restricted.exclude(groups__user=self._user)
        return frozenset(restricted.values_list("experiment_name", flat=True))

    def sees(self, run_id: str) -> bool:
        """Whether the reader may see the run."""
        return bool(self.seen([run_id]))

    def seen(self, run_ids: Collection[str]) -> list[str]:
        """The runs that the reader may see, in order; unknown runs are among them. At most one query; none if nothing
        is hidden.
        """
        if not self.hidden:
            return list(run_ids)
        unasked = [run_id for run_id in run_ids if run_id not in self._seen]
        if unasked:
            experiments = Run.objects.filter(pk__in=unasked).values_list("run_id", "experiment_name")
            self._seen |= {run_id: experiment not in self.hidden for run_id, experiment in experiments}
        return [run_id for run_id in run_ids if self._seen.get(run_id, True)]


def reader_of(request: HttpRequest) -> Reader:
    """The reader of the request, in all views that need authentication."""
    reader: Reader = request.reader  # type: ignore[attr-defined]
    return reader


def visible(rows: QuerySet[M, Any], hidden: frozenset[str], run: str = "") -> QuerySet[M, Any]:
    """The rows whose runs are not of hidden experiments; ``run`` is the lookup from the rows to their run's columns.
    If nothing is hidden, the query is unchanged.
    """
    return rows.exclude(**{f"{run}experiment_name__in": sorted(hidden)}) if hidden else rows
