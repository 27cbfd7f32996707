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

from store.models import QuickTest, Run, RunMetric, RunParam
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
    "started": "start_time", "ended": "end_time",
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
    archived_too = query.has_flag("archived", "all")
    return Narrowed(frozenset.intersection(*lists) if lists else None, many, archived_too, hidden)


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
    """The column of a parameter's, metric's or tag's row that the condition compares."""
    if condition.field == "param":
        return "number" if isinstance(operand_of(condition), float) else "text"
    return condition.measure.column if condition.field == "metric" else "value"


def _compare_span(column: str, operator: str, span: Span) -> Q:
    before, until = Q(**{f"{column}__lt": span.start}), Q(**{f"{column}__lt": span.end})
    since, after = Q(**{f"{column}__gte": span.start}), Q(**{f"{column}__gte": span.end})
    ways = {"=": since & until, "!=": before | after, ">": after, ">=": since, "<": before, "<=": until}
    return ways[operator]


def _few(condition: Condition) -> Asked:
    """Query the IDs of the runs that match the condition, by its index."""
    if condition.field == "is":
        return Annotation.objects.filter(**{condition.value: True}).values_list("run_id")
    if condition.field == "quick_test":
        found = compare("pk", condition.operator, operand_of(condition))
        return QuickTest.objects.filter(found).exclude(mlflow_run_id="").values_list("mlflow_run_id")
    if condition.field in COLUMNS or condition.field == WORD:
        return Run.objects.filter(_of_run(condition, "")).values_list("run_id")
    if condition.operator == ABSENT:
        return Run.objects.filter(~Exists(_keyed_rows(condition).filter(_is_run(condition)))).values_list("run_id")
    return _keyed_rows(condition).filter(_of_value(condition)).values_list(_run_of(condition))


def _many(found: QuerySet[Any], rows: Rows, condition: Condition, name: str) -> QuerySet[Any]:
    """Filter rows by the condition. A subquery is evaluated run by run; planners may turn EXISTS into a full join."""
    if condition.field == "is":
        return found.filter(Exists(Annotation.objects.filter(run_id=OuterRef("run_id"), **{condition.value: True})))
    if condition.field == "quick_test":
        of_run = QuickTest.objects.filter(mlflow_run_id=OuterRef("run_id"))
        return found.filter(Exists(of_run.filter(compare("pk", condition.operator, operand_of(condition)))))
    if condition.field in COLUMNS or condition.field == WORD:
        return found.filter(_of_run(condition, rows.prefix))
    if (condition.field, condition.key) == (rows.field, rows.key) and condition.operator != ABSENT:
        return found.filter(_of_value(condition))
    # PostgreSQL takes half of the rows to meet a truth value, but few to equal a number: then it reads the whole table.
    meets = Case(When(_of_value(condition), then=Value(True)), default=Value(False))
    of_run = _keyed_rows(condition).filter(_is_run(condition)).annotate(meets=meets)
    found = found.alias(**{name: Subquery(of_run.values("meets")[:1])})
    return found.filter(**{f"{name}__isnull": True} if condition.operator == ABSENT else {name: True})


def _keyed_rows(condition: Condition) -> QuerySet[Any]:
    """The rows of the parameter, metric or tag. Tags are those that people gave here."""
    if condition.field == "tag":
        return Tag.objects.filter(name=condition.key)
    rows: dict[str, type[RunParam | RunMetric]] = {"param": RunParam, "metric": RunMetric}
    return rows[condition.field].objects.filter(key=condition.key)


def _run_of(condition: Condition) -> str:
    return "annotation_id" if condition.field == "tag" else "run_id"


def _is_run(condition: Condition) -> Q:
    return Q(**{_run_of(condition): OuterRef("run_id")})


def _of_value(condition: Condition) -> Q:
    """Compare a row's value. A metric without a value is NaN, which differs from every number."""
    if not condition.operator or condition.operator == ABSENT:
        return Q(**{f"{_run_of(condition)}__isnull": False})
    column, operand = value_column(condition), operand_of(condition)
    if condition.field == "metric" and condition.operator == "!=":
        return ~Q(**{column: operand}) | Q(**{f"{column}__isnull": True})
    return compare(column, condition.operator, operand)


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
