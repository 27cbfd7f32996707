"""The names and values that runs have. Each is one step in an index: the number of rows does not matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cachetools.func import ttl_cache
from django.db import connection
from django.db.models import Model, Q, QuerySet

from store.models import Run, RunMetric, RunParam, RunTag
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


Columns = tuple[Column, ...]
NAMES: dict[str, Columns] = {
    "metric": (Column(RunMetric, "key"),),
    "param": (Column(RunParam, "key"),),
    "tag": (Column(Tag, "name", "annotation_id"), Column(RunTag, "key")),
    "experiment": (Column(Run, "experiment_name"),),
}
"""Where the names of a kind are: tags are those that people gave here and MLflow's."""
VALUES: dict[str, Columns] = {
    "name": (Column(Run, "name"),),
    "param": (Column(RunParam, "text", within="key"),),
    "tag": (Column(Tag, "value", "annotation_id", within="name"), Column(RunTag, "text", within="key")),
}


def names_of(kind: str, typed: str = "") -> list[str]:
    """All names of a kind, also those of hidden runs. If there are more than MOST_NAMES: the first ones, and those that
    come after ``typed``.
    """
    known = _all_names(kind)
    more = _walk(NAMES[kind], start=typed) if typed and len(known) == MOST_NAMES else []
    return list(dict.fromkeys([*more, *known]))


def values_of(field: str, key: str, typed: str = "") -> list[str]:
    """Values of a field of ``VALUES``, also of hidden runs: the first ones, and those that come after ``typed``."""
    more = _walk(VALUES[field], key, typed) if typed else []
    return list(dict.fromkeys([*more, *_walk(VALUES[field], key)]))


def seen_names(kind: str, names: Sequence[str], hidden: frozenset[str], most: int) -> list[str]:
    """The first of these names that a run has which the reader may see. The number of rows that are read is bounded, so
    a rare name may be left out.
    """
    if kind == "experiment":
        return [name for name in names if name not in hidden][:most]
    return (_seen(NAMES[kind], names, "", hidden, _recent_names(kind, hidden), most) if hidden else list(names))[:most]


def seen_values(field: str, key: str, values: Sequence[str], hidden: frozenset[str], most: int) -> list[str]:
    """The first of these values that a run has which the reader may see; bounded like ``seen_names``."""
    columns = VALUES[field]
    return _seen(columns, values, key, hidden, _recent(columns, key, hidden), most)[:most]


def counts(columns: Columns, values: Sequence[str], key: str = "") -> list[int]:
    """The number of runs with each value, hidden ones included, up to MOST_COUNTED. One statement. A run that has it in
    two columns counts twice.
    """
    rows = [column.rows(value, key).values_list(column.run)[:MOST_COUNTED] for column in columns for value in values]
    found, size = count_batch(rows), len(values)
    return [min(sum(found[number::size]), MOST_COUNTED) for number in range(size)]


def forget() -> None:
    """Drop what is cached."""
    for cached in (_all_names, _recent_names, _newest_runs):
        cached.cache_clear()


@ttl_cache(maxsize=len(NAMES), ttl=SECONDS)
def _all_names(kind: str) -> tuple[str, ...]:
    return tuple(_walk(NAMES[kind], most=MOST_NAMES))


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


def _walk(columns: Columns, key: str = "", start: str = "", most: int = MOST_STEPS) -> list[str]:
    """The first distinct values of the columns together. One statement for each."""
    return sorted({found for column in columns for found in column.walk(key, start, most)})[:most]


def _recent(columns: Columns, key: str, hidden: frozenset[str]) -> frozenset[str]:
    """What the newest visible runs have in the columns. It has common names of which the first rows are all hidden."""
    newest = _newest_runs(hidden)
    rows = [column.rows(key=key).filter(InList(column.run, newest)).values_list(column.name) for column in columns]
    return frozenset(found for of_column in rows for (found,) in of_column.distinct())


def _seen(
    columns: Columns, values: Sequence[str], key: str, hidden: frozenset[str], recent: frozenset[str], most: int
) -> list[str]:
    """Those of the values that are ``recent``. If these are fewer than ``most``, also those among whose first MOST_ROWS
    rows is one of a visible run; only the first MOST_CHECKED are looked up, by at most one statement.
    """
    sure = [value for value in values if value in recent]
    if len(sure) >= most:
        return sure
    unsure = [value for value in values if value not in recent][:MOST_CHECKED]
    shown = Run.objects.filter(~Q(InList("experiment_name", hidden)))
    asked = [(column, value) for column in columns for value in unsure]
    first = [column.rows(value, key).values_list(column.run, flat=True)[:MOST_ROWS] for column, value in asked]
    answers = run_batch([shown.filter(run_id__in=rows).values_list("run_id")[:1] for rows in first])
    found = {value for (_, value), runs in zip(asked, answers, strict=True) if runs}
    return [value for value in values if value in recent or value in found]
