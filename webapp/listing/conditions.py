"""Translate the conditions of a query to SQL.

The database's planner can't know how often a parameter has a value, so it gets no choice of plans. A condition that few
runs match becomes the list of their IDs, read by its index. A condition that many match is checked run by run, in the
order that the sort's index gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import Case, Exists, OuterRef, Q, QuerySet, Subquery, Value, When

from store.models import QuickTest, Run, RunMetric, RunParam, RunTag
from warmboard.contract.events import RUN_ID
from webapp.annotations.models import Annotation, Tag
from webapp.listing.batch import Asked, InList, Like, run_batch
from webapp.listing.fields import ABSENT, FIELDS, LIKE, WORD, Operand, Span
from webapp.listing.names import Names
from webapp.listing.query import Condition, Query
from webapp.visibility.reader import visible

FEW = 1000
ALL = Condition("is", ":", "all")
COLUMNS = {
    "status": "status", "experiment": "experiment_name", "name": "name", "run": "run_id", "epochs": "epochs",
    "started": "start_time", "ended": "end_time", "parent": "parent",
}  # fmt: skip
LOOKUPS = {"=": "exact", ">": "gt", ">=": "gte", "<": "lt", "<=": "lte", "~": "icontains"}
LONGEST_NUMBER = 18


@dataclass(frozen=True)
class Rows:
    """Rows with a ``run_id``: of ``Run`` itself, or of one parameter or metric (``field`` and ``key``).

    ``prefix`` is the lookup from them to the run's columns.
    """

    query: QuerySet[Any]
    prefix: str = ""
    field: str = ""
    key: str = ""


@dataclass(frozen=True)
class Narrowed:
    """The conditions of a query. ``ids`` are the runs that match all conditions with few matches; None: there is no
    such condition. ``many`` are the other conditions. Runs of ``hidden`` experiments never match.
    """

    ids: frozenset[str] | None
    many: tuple[Condition, ...]
    archived_too: bool
    deleted_too: bool
    hidden: frozenset[str]

    def apply(self, rows: Rows) -> QuerySet[Any]:
        """The rows whose runs match the conditions."""
        found = visible(rows.query, self.hidden, rows.prefix)
        if self.ids is not None:
            found = found.filter(InList("run_id", self.ids))
        for number, condition in enumerate(self.many):
            found = _many(found, rows, condition, f"asked{number}")
        if not self.archived_too:
            found = found.filter(~Exists(Annotation.objects.filter(run_id=OuterRef("run_id"), archived=True)))
        if not self.deleted_too:
            deleted = Run.objects.filter(pk=OuterRef("run_id"), deleted_at__isnull=False)
            found = found.filter(~Exists(deleted) if rows.prefix else Q(deleted_at=None))
        return found


def narrow(queries: Sequence[Query], hidden: frozenset[str], names: Names) -> list[Narrowed]:
    """Prepare the queries for a reader from whom these experiments are hidden. At most one statement."""
    queries = [_settled(query, names) for query in queries]
    conditions = list({condition: None for query in queries for condition in query.conditions if condition != ALL})
    answers = dict(zip(conditions, run_batch([_few(condition)[: FEW + 1] for condition in conditions]), strict=True))
    return [_narrowed(query, answers, hidden) for query in queries]


def _settled(query: Query, names: Names) -> Query:
    """The query with the true keys of its metrics."""
    return Query(
        tuple(
            replace(condition, **vars(names.settle(condition.measure))) if condition.field == "metric" else condition
            for condition in query.conditions
        )
    )


def _narrowed(query: Query, answers: Mapping[Condition, list[str]], hidden: frozenset[str]) -> Narrowed:
    asked = [condition for condition in query.conditions if condition in answers]
    lists = [frozenset(answers[condition]) for condition in asked if len(answers[condition]) <= FEW]
    many = tuple(condition for condition in asked if len(answers[condition]) > FEW)
    archived_too, deleted_too = query.has_flag("archived", "all"), query.has_flag("deleted", "all")
    return Narrowed(frozenset.intersection(*lists) if lists else None, many, archived_too, deleted_too, hidden)


def compare(column: str, operator: str, operand: Operand) -> Q:
    """Compare a column with an operand; without an operator, test that it has a value. Null never matches."""
    if isinstance(operand, Span):
        return _compare_span(column, operator, operand)
    if isinstance(operand, tuple):
        among = Q(**{f"{column}__in": operand})
        return among if operator == "in" else ~among & Q(**{f"{column}__isnull": False})
    if not operator:
        return Q(**{f"{column}__isnull": False})
    if operator in LIKE:
        return Q(Like(column, str(operand), any_case=operator == "ilike"))
    if operator == "!=":
        return ~Q(**{column: operand}) & Q(**{f"{column}__isnull": False})
    return Q(**{f"{column}__{LOOKUPS[operator]}": operand})


def operand_of(condition: Condition) -> Operand:
    """The value in the type of its column; empty if the condition tests only for presence."""
    if condition.operator in ("", ABSENT):
        return ""
    return FIELDS[condition.field].operand(condition.operator, condition.value, condition.quoted)


def value_column(condition: Condition) -> str:
    """The column of a parameter's or metric's row that the condition compares."""
    if condition.field == "param":
        return "number" if isinstance(operand_of(condition), float) else "text"
    return condition.measure.column


def _compare_span(column: str, operator: str, span: Span) -> Q:
    before, until = Q(**{f"{column}__lt": span.start}), Q(**{f"{column}__lt": span.end})
    since, after = Q(**{f"{column}__gte": span.start}), Q(**{f"{column}__gte": span.end})
    ways = {"=": since & until, "!=": before | after, ">": after, ">=": since, "<": before, "<=": until}
    return ways[operator]


def _few(condition: Condition) -> Asked:
    """Query the IDs of the runs that match the condition, by its index."""
    if condition.field == "is":
        return _flagged(condition).values_list("run_id")
    if condition.field == "quick_test":
        found = compare("pk", condition.operator, operand_of(condition))
        return QuickTest.objects.filter(found).exclude(mlflow_run_id="").values_list("mlflow_run_id")
    if condition.field in COLUMNS or condition.field == WORD:
        return Run.objects.filter(_of_run(condition, "")).values_list("run_id")
    keyed = _keyed(condition)
    if condition.operator == ABSENT:
        return _of_each(Run.objects.all(), keyed, condition, "asked").values_list("run_id")
    first, *others = (each.rows.filter(each.meets(condition)).values_list(each.run) for each in keyed)
    return first.union(*others, all=True) if others else first


def _many(found: QuerySet[Any], rows: Rows, condition: Condition, name: str) -> QuerySet[Any]:
    """Filter rows by the condition. A subquery is evaluated run by run; planners may turn EXISTS into a full join."""
    if condition.field == "is":
        return found.filter(Exists(_flagged(condition).filter(run_id=OuterRef("run_id"))))
    if condition.field == "quick_test":
        of_run = QuickTest.objects.filter(mlflow_run_id=OuterRef("run_id"))
        return found.filter(Exists(of_run.filter(compare("pk", condition.operator, operand_of(condition)))))
    if condition.field in COLUMNS or condition.field == WORD:
        return found.filter(_of_run(condition, rows.prefix))
    keyed = _keyed(condition)
    if (condition.field, condition.key) == (rows.field, rows.key) and condition.operator != ABSENT:
        return found.filter(keyed[0].meets(condition))
    return _of_each(found, keyed, condition, name)


def _of_each(found: QuerySet[Any], keyed: list[_Keyed], condition: Condition, name: str) -> QuerySet[Any]:
    """Filter rows by what their runs have of a parameter, metric or tag, looked up run by run."""
    met = Q()
    # PostgreSQL takes half of the rows to meet a truth value, but few to equal a number: then it reads the whole table.
    for number, each in enumerate(keyed):
        meets = Case(When(each.meets(condition), then=Value(True)), default=Value(False))
        of_table = f"{name}_{number}"
        found = found.alias(**{of_table: Subquery(each.of_run().annotate(meets=meets).values("meets")[:1])})
        met = met & Q(**{f"{of_table}__isnull": True}) if condition.operator == ABSENT else met | Q(**{of_table: True})
    return found.filter(met)


def _flagged(condition: Condition) -> QuerySet[Any]:
    """Rows with the ``run_id`` of each run that has the flag."""
    if condition.value == "deleted":
        return Run.objects.filter(deleted_at__isnull=False)
    return Annotation.objects.filter(**{condition.value: True})


@dataclass(frozen=True)
class _Keyed:
    """The rows of one parameter, metric or tag; ``run`` is the column of the run's ID, ``column`` that of the value."""

    rows: QuerySet[Any]
    column: str
    run: str = "run_id"

    def of_run(self) -> QuerySet[Any]:
        """The rows of the run of an outer query."""
        return self.rows.filter(**{self.run: OuterRef("run_id")})

    def meets(self, condition: Condition) -> Q:
        """Compare a row's value. A metric without a value is NaN, which differs from every number."""
        if not condition.operator or condition.operator == ABSENT:
            return Q(**{f"{self.run}__isnull": False})
        operand = operand_of(condition)
        if condition.field == "metric" and condition.operator == "!=":
            return ~Q(**{self.column: operand}) | Q(**{f"{self.column}__isnull": True})
        return compare(self.column, condition.operator, operand)


def _keyed(condition: Condition) -> list[_Keyed]:
    """The rows that the condition compares; of a tag, those that people gave here and MLflow's."""
    if condition.field == "tag":
        given, logged = Tag.objects.filter(name=condition.key), RunTag.objects.filter(key=condition.key)
        return [_Keyed(given, "value", "annotation_id"), _Keyed(logged, "text")]
    rows: dict[str, type[RunParam | RunMetric]] = {"param": RunParam, "metric": RunMetric}
    return [_Keyed(rows[condition.field].objects.filter(key=condition.key), value_column(condition))]


def _of_run(condition: Condition, prefix: str) -> Q:
    if condition.field != WORD:
        return compare(prefix + COLUMNS[condition.field], condition.operator, operand_of(condition))
    return _has_word(condition.value, prefix)


def _has_word(word: str, prefix: str) -> Q:
    """Match a word in the name, the experiment, the start of the run ID, or as number of the quick test."""
    found = Q(**{f"{prefix}name__icontains": word}) | Q(**{f"{prefix}experiment_name__icontains": word})
    if RUN_ID.fullmatch(word):
        found |= Q(run_id__startswith=word)
    if word.isascii() and word.isdigit() and len(word) <= LONGEST_NUMBER:
        found |= Q(run_id=Subquery(QuickTest.objects.filter(pk=int(word)).values("mlflow_run_id")[:1]))
    return found
