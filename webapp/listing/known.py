"""The names and values that runs have. Each is one step in an index: the number of rows does not matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cachetools.func import ttl_cache
from django.db import connection
from django.db.models import Model, Q, QuerySet

from store.models import Run, RunMetric, RunParam
from webapp.annotations.models import Tag
from webapp.listing.batch import InList, count_batch, run_batch

MOST_NAMES = 5000
MOST_STEPS = 200
"""Of one walk through the values of one name, or through names from what is typed."""
SECONDS = 5.0
"""Time for which a process keeps all names."""
MOST_CHECKED, MOST_ROWS = 40, 100
"""Max number of names, and of rows of each, that are read to find those that the reader may see."""
EXPERIMENTS, NEWEST = 100, 5
"""The number of experiments, and of the newest runs of each, whose names are read for the same."""
MOST_COUNTED = 1000
# DISTINCT would read all rows.
_WALK = """
WITH RECURSIVE steps(found) AS (
    SELECT (SELECT min({name}) FROM {table} WHERE {only}{name} >= %s)
    UNION ALL
    SELECT (SELECT min({name}) FROM {table} WHERE {only}{name} > steps.found) FROM steps WHERE steps.found IS NOT NULL
)
SELECT found FROM steps WHERE found IS NOT NULL LIMIT %s
"""


@dataclass(frozen=True)
class Column:
    """A column whose index gives its values in order; if ``within`` is another column, those of one key in it. ``run``
    is the column of the run's ID.
    """

    model: type[Model]
    name: str
    run: str = "run_id"
    within: str = ""

    def walk(self, key: str = "", start: str = "", most: int = MOST_STEPS) -> list[str]:
        """The first distinct values from ``start`` on. One statement."""
        quoted = connection.ops.quote_name
        only, keys = (f"{quoted(self.within)} = %s AND ", [key]) if self.within else ("", [])
        sql = _WALK.format(name=quoted(self.name), table=quoted(self.model._meta.db_table), only=only)
        with connection.cursor() as cursor:
            cursor.execute(sql, [*keys, start, *keys, most])
            return [found for (found,) in cursor.fetchall()]

    def rows(self, value: str | None = None, key: str = "") -> QuerySet[Any]:
        """The rows with this value, or with any."""
        only = {self.within: key} if self.within else {}
        return self.model._default_manager.filter(**only, **({} if value is None else {self.name: value}))


NAMES = {
    "metric": Column(RunMetric, "key"),
    "param": Column(RunParam, "key"),
    "tag": Column(Tag, "name", "annotation_id"),
    "experiment": Column(Run, "experiment_name"),
}
VALUES = {
    "name": Column(Run, "name"),
    "param": Column(RunParam, "text", within="key"),
    "tag": Column(Tag, "value", "annotation_id", within="name"),
}


def names_of(kind: str, typed: str = "") -> list[str]:
    """All names of a kind, also those of hidden runs. If there are more than MOST_NAMES: the first ones, and those that
    come after ``typed``.
    """
    known = _all_names(kind)
    more = NAMES[kind].walk(start=typed) if typed and len(known) == MOST_NAMES else []
    return list(dict.fromkeys([*more, *known]))


def values_of(field: str, key: str, typed: str = "") -> list[str]:
    """Values of a field of ``VALUES``, also of hidden runs: the first ones, and those that come after ``typed``."""
    more = VALUES[field].walk(key, typed) if typed else []
    return list(dict.fromkeys([*more, *VALUES[field].walk(key)]))


def seen_names(kind: str, names: Sequence[str], hidden: frozenset[str], most: int) -> list[str]:
    """The first of these names that a run has which the reader may see. The number of rows that are read is bounded, so
    a rare name may be left out.
    """
    if kind == "experiment":
        return [name for name in names if name not in hidden][:most]
    return (_seen(NAMES[kind], names, "", hidden, _recent_names(kind, hidden), most) if hidden else list(names))[:most]


def seen_values(field: str, key: str, values: Sequence[str], hidden: frozenset[str], most: int) -> list[str]:
    """The first of these values that a run has which the reader may see; bounded like ``seen_names``."""
    column = VALUES[field]
    return _seen(column, values, key, hidden, _recent(column, key, hidden), most)[:most]


def counts(column: Column, values: Sequence[str], key: str = "") -> list[int]:
    """The number of runs with each value, hidden ones included, up to MOST_COUNTED. One statement."""
    return count_batch([column.rows(value, key).values_list(column.run)[:MOST_COUNTED] for value in values])


def forget() -> None:
    """Drop what is cached."""
    for cached in (_all_names, _recent_names, _newest_runs):
        cached.cache_clear()


@ttl_cache(maxsize=len(NAMES), ttl=SECONDS)
def _all_names(kind: str) -> tuple[str, ...]:
    return tuple(NAMES[kind].walk(most=MOST_NAMES))


@ttl_cache(maxsize=256, ttl=SECONDS)
def _recent_names(kind: str, hidden: frozenset[str]) -> frozenset[str]:
    return _recent(NAMES[kind], "", hidden)


@ttl_cache(maxsize=256, ttl=SECONDS)
def _newest_runs(hidden: frozenset[str]) -> tuple[str, ...]:
    """The newest runs of the first visible experiments."""
    experiments = [name for name in _all_names("experiment") if name not in hidden][:EXPERIMENTS]
    runs = Run.objects.order_by("-announced_at", "-run_id").values_list("run_id")
    newest = run_batch([runs.filter(experiment_name=name)[:NEWEST] for name in experiments])
    return tuple(run_id for found in newest for run_id in found)


def _recent(column: Column, key: str, hidden: frozenset[str]) -> frozenset[str]:
    """What the newest visible runs have in the column. It has common names of which the first rows are all hidden."""
    rows = column.rows(key=key).filter(InList(column.run, _newest_runs(hidden)))
    return frozenset(rows.values_list(column.name, flat=True).distinct())


def _seen(
    column: Column, values: Sequence[str], key: str, hidden: frozenset[str], recent: frozenset[str], most: int
) -> list[str]:
    """Those of the values that are ``recent``. If these are fewer than ``most``, also those among whose first MOST_ROWS
    rows is one of a visible run; only the first MOST_CHECKED are looked up, by at most one statement.
    """
    sure = [value for value in values if value in recent]
    if len(sure) >= most:
        return sure
    unsure = [value for value in values if value not in recent][:MOST_CHECKED]
    shown = Run.objects.filter(~Q(InList("experiment_name", hidden)))
    first = [column.rows(value, key).values_list(column.run, flat=True)[:MOST_ROWS] for value in unsure]
    answers = run_batch([shown.filter(run_id__in=rows).values_list("run_id")[:1] for rows in first])
    found = {value for value, runs in zip(unsure, answers, strict=True) if runs}
    return [value for value in values if value in recent or value in found]
