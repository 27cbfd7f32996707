"""The orders of the list. Each has an index, so that a page is read from its start (keyset pagination)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.core import signing
from django.db.models import F, Q, QuerySet
from django.db.models.fields.tuple_lookups import Tuple, TupleGreaterThan, TupleLessThan

from store.models import LONGEST_KEY, LONGEST_TEXT, Run, RunMetric, RunParam
from store.searched import number_of
from webapp.listing.columns import SORTED
from webapp.listing.conditions import Rows
from webapp.listing.names import ATTRIBUTES, Measure, Names, split

Place = tuple[Any, ...]
_WRITTEN = re.compile(
    r"(?P<minus>-)?(?P<name>.+?)(?(minus)|(?:\s+(?:asc|(?P<falls>desc)))?)\s*", re.IGNORECASE | re.DOTALL
)
NULLABLE = ("epochs", "start_time", "end_time")


class SortError(ValueError):
    """The text is not an order."""


class CursorError(ValueError):
    """The text is not a cursor of this order."""


@dataclass(frozen=True)
class Segment:
    """A part of an order that one index gives: ``columns`` of ``rows``. ``place`` returns a run's values of them, or
    None if the run is not in this segment. ``constant`` are columns of the index before them, with one value in all
    rows.
    """

    rows: Rows
    columns: tuple[str, ...]
    descending: bool
    place: Callable[[Run], Place | None]
    constant: tuple[str, ...] = ()

    def ordered(self, found: QuerySet[Any], backwards: bool, beyond: Place | None) -> QuerySet[Any, tuple[str]]:
        """Run IDs in this order, or backwards, beyond a place."""
        falling = self.descending != backwards
        if beyond is not None:
            found = found.filter(self._beyond(falling, self._values(beyond)))
        order = [f"-{column}" if falling else column for column in (*self.constant, *self.columns)]
        return found.order_by(*order).values_list("run_id")

    def _beyond(self, falling: bool, values: Place) -> Q:
        if len(self.columns) == 1:
            return Q(**{f"{self.columns[0]}__{'lt' if falling else 'gt'}": values[0]})
        lookup = TupleLessThan if falling else TupleGreaterThan
        return Q(lookup(Tuple(*map(F, self.columns)), values))

    def _values(self, place: Place) -> Place:
        """Convert values from JSON, which has no times."""
        fields = [self.rows.query.model._meta.get_field(column) for column in self.columns]
        return tuple(field.to_python(value) for field, value in zip(fields, place, strict=True))


@dataclass(frozen=True)
class Sort:
    """An order by a column, a parameter (``param.KEY``: numbers, then text) or a metric (``metric.KEY``,
    ``metric.KEY.min``). Runs without a value come last, newest first.
    """

    name: str = "announced"
    descending: bool = True

    @classmethod
    def parse(cls, text: str) -> Sort:
        """Parse an order; ``-name`` is descending, and so is MLflow's ``name DESC``. Raises SortError."""
        written = _WRITTEN.fullmatch(text)
        name, descending = (written["name"], bool(written["minus"] or written["falls"])) if written else ("", False)
        kind, key = split(name)
        attribute = ATTRIBUTES.get(key if kind == "attribute" else name, "")
        name = f"{kind}.{key}" if kind in ("param", "metric") else attribute if attribute in SORTED else name
        if name not in SORTED and kind not in ("param", "metric"):
            known = ", ".join(SORTED)
            raise SortError(
                f"{text!r} is not an order; use {known}, param.NAME or metric.NAME, with a leading - to sort descending"
            )
        if "\x00" in key or len(key) > LONGEST_KEY:
            raise SortError("invalid name of a parameter or metric")
        return cls(name, descending)

    def __str__(self) -> str:
        return f"-{self.name}" if self.descending else self.name

    @property
    def reversed(self) -> Sort:
        return Sort(self.name, not self.descending)

    @property
    def measures(self) -> list[Measure]:
        """The number of a metric that it orders by, if it does."""
        kind, _, key = self.name.partition(".")
        return [Measure.parse(key)] if kind == "metric" else []

    def segments(self, names: Names) -> list[Segment]:
        kind, _, key = self.name.partition(".")
        for measure in self.measures:
            return self._of_metric(names.settle(measure))
        if kind == "param":
            return [*self._of_param(key), _newest(Run.objects.exclude(param_rows__key=key))]
        return self._of_column(SORTED[self.name])

    def _of_column(self, columns: tuple[str, ...]) -> list[Segment]:
        first = columns[0]

        def place(run: Run) -> Place | None:
            return None if getattr(run, first) is None else tuple(getattr(run, column) for column in columns)

        if first not in NULLABLE:
            return [Segment(Rows(Run.objects.all()), columns, self.descending, place)]
        known, unknown = (Run.objects.filter(**{f"{first}__isnull": null}) for null in (False, True))
        return [Segment(Rows(known), columns, self.descending, place), _newest(unknown)]

    def _of_metric(self, measure: Measure) -> list[Segment]:
        """Runs with a number, then those with NaN, then those without the metric."""
        key, column = measure.key, measure.column
        rows = RunMetric.objects.filter(key=key)
        known, unknown = (
            Rows(rows.filter(**{f"{column}__isnull": null}), "run__", "metric", key) for null in (False, True)
        )

        def known_place(run: Run) -> Place | None:
            return known.query.filter(run=run).values_list(column, "run_id").first()

        def unknown_place(run: Run) -> Place | None:
            return unknown.query.filter(run=run).values_list("run_id").first()

        return [
            Segment(known, (column, "run_id"), self.descending, known_place),
            Segment(unknown, ("run_id",), self.descending, unknown_place, constant=(column,)),
            _newest(Run.objects.exclude(metric_rows__key=key)),
        ]

    def _of_param(self, key: str) -> list[Segment]:
        def text_place(run: Run) -> Place | None:
            return (str(run.params[key])[:LONGEST_TEXT], run.run_id) if key in run.params else None

        def number_place(run: Run) -> Place | None:
            number = number_of(str(run.params.get(key, "")))
            return None if number is None else (number, run.run_id)

        rows = RunParam.objects.filter(key=key)
        numbers = Rows(rows.filter(number__isnull=False), "run__", "param", key)
        texts = Rows(rows.filter(number__isnull=True), "run__", "param", key)
        return [
            Segment(numbers, ("number", "run_id"), self.descending, number_place),
            Segment(texts, ("text", "run_id"), self.descending, text_place),
        ]


@dataclass(frozen=True)
class Cursor:
    """The place in an order beyond which a page starts, forwards or backwards. Its text is signed, so that only cursors
    of the same order are accepted.
    """

    backwards: bool
    segment: int
    place: Place

    @classmethod
    def parse(cls, text: str, sort: Sort) -> Cursor:
        """Raises CursorError."""
        try:
            backwards, segment, *place = signing.loads(text, salt=f"runs by {sort}")
        except signing.BadSignature:
            raise CursorError("it is not a cursor of this order") from None
        return cls(backwards, segment, tuple(place))

    @classmethod
    def at(cls, run: Run, segments: list[Segment], backwards: bool) -> Cursor:
        for number, segment in enumerate(segments):
            if (place := segment.place(run)) is not None:
                return cls(backwards, number, place)
        raise ValueError(f"run {run.run_id} is in no segment")

    def text(self, sort: Sort) -> str:
        place = [value.isoformat() if hasattr(value, "isoformat") else value for value in self.place]
        return signing.dumps([self.backwards, self.segment, *place], salt=f"runs by {sort}")


def _newest(runs: QuerySet[Run]) -> Segment:
    """The segment of runs without a value, newest first."""
    return Segment(Rows(runs), ("announced_at", "run_id"), True, lambda run: (run.announced_at, run.run_id))
