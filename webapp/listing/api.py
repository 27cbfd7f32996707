"""The list of runs as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse

from webapp.annotations.views import annotation_document
from webapp.api.operation import Operation, describes
from webapp.api.parameters import BadRequest, Parameter, choice, whole_number
from webapp.api.reading import NO_STORE, reading
from webapp.api.shapes import RunList
from webapp.exports.formats import number as exact
from webapp.listing.columns import Measured
from webapp.listing.find import find
from webapp.listing.measured import Numbers
from webapp.listing.query import LONGEST, parse
from webapp.listing.sorting import Sort
from webapp.listing.unknown import unknown
from webapp.listing.view import DEFAULT_LIMIT, MOST, MOST_COLUMNS, View, ViewError, read_columns
from webapp.run.summary import run_fields
from webapp.visibility.reader import reader_of


class Typing(StrEnum):
    NO = "0"
    YES = "1"


# `View.read` reads the same: a query string of the page also works here.
PARAMETERS: list[Parameter[Any]] = [
    Parameter("q", "Words and conditions; a run must match all.", {"type": "string", "maxLength": LONGEST}, parse),
    Parameter("sort", "A column, param.NAME or metric.NAME; leading -: descending.", {"type": "string"}, Sort.parse),
    Parameter(
        "columns",
        "Only these parameters and metrics: param.NAME, metric.NAME.",
        {"type": "array", "items": {"type": "string"}, "maxItems": MOST_COLUMNS},
        lambda text: read_columns([text]),
    ),
    whole_number("limit", 1, MOST, DEFAULT_LIMIT, "Max runs per page."),
    Parameter("cursor", "The page: next or previous of a response.", {"type": "string"}, str),
]
TYPING = choice(
    "typing",
    Typing,
    "1 while the user types q: an invalid q then gives no runs and a problem, instead of 400; so does an unknown name.",
    Typing.NO,
)


@describes(Operation("Search and sort runs, page by page", RunList, [*PARAMETERS, TYPING]))
@reading
def runs(request: HttpRequest) -> HttpResponse:
    """The list of runs as JSON: ``{"runs": […], "next": cursor | null, "previous": cursor | null, "problem": null}``.

    Unlike on the page, pinned runs are in their place in the order, and there are no groups.
    """
    typing = TYPING.read(request)
    try:
        view = View.read(request.GET)
    except ViewError as error:
        problem = str(error).removeprefix(f"{error.parameter}: ")
        if typing is Typing.YES and error.parameter == "q":
            return _answer([], problem=problem)
        raise BadRequest(error.parameter, problem) from None
    hidden = reader_of(request).hidden
    page = find(view.query, view.sort, view.limit, view.cursor, hidden=hidden, pinned_first=False)
    unknown_names = unknown(view, hidden) if typing is Typing.YES and not page.runs and not view.cursor else []
    return _answer(
        [run_document(run, view) for run in Numbers.of(view.columns or ()).measured(page.runs)],
        next=page.next and page.next.text(view.sort),
        previous=page.previous and page.previous.text(view.sort),
        problem=" ".join(unknown_names) or None,
    )


def unreadable(error: ViewError) -> JsonResponse:
    """The 400 response to an invalid query string, for views outside the API."""
    return JsonResponse({"error": str(error), "parameter": error.parameter}, status=400)


def _answer(runs: list[dict[str, Any]], **others: object) -> HttpResponse:
    document = {"runs": runs, "next": None, "previous": None, "problem": None} | others
    return JsonResponse(document, headers=NO_STORE)


def run_document(listed: Measured, view: View) -> dict[str, Any]:
    """One run as JSON, with the parameters and numbers of the view's columns; without columns, with all parameters and
    final metrics.
    """
    fields = run_fields(listed.run)
    if view.columns is not None:
        fields |= {
            "params": _some(fields["params"], "param", view),
            "final_metrics": {key: exact(number) for key, number in listed.numbers.items()},
        }
    return {
        "mlflow_run_id": listed.run.run_id,
        "state": listed.state,
        "reason": listed.reason,
        "quick_test_ids": listed.quick_test_ids,
        **fields,
        "sparkline": listed.run.sparkline,
        "annotation": annotation_document(listed.annotation),
    }


def _some(values: Mapping[str, Any], kind: str, view: View) -> dict[str, Any]:
    """The values that are columns of the view."""
    keys = [key.key for key in view.columns or () if key.kind == kind]
    return {key: values[key] for key in keys if key in values}
