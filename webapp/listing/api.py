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
from webapp.listing.find import find
from webapp.listing.query import LONGEST, parse
from webapp.listing.sorting import Sort
from webapp.listing.view import DEFAULT_LIMIT, MOST, MOST_COLUMNS, View, ViewError, read_columns
from webapp.run.summary import Listed, run_fields
from webapp.visibility.reader import reader_of


class Typing(StrEnum):
    NO = "0"
    YES = "1"


# As `View.read` reads them: an address of the page is one of the API's too.
PARAMETERS: list[Parameter[Any]] = [
    Parameter("q", "Words and conditions that all must hold.", {"type": "string", "maxLength": LONGEST}, parse),
    Parameter("sort", "A column, param.NAME or metric.NAME; - before it: falling.", {"type": "string"}, Sort.parse),
    Parameter(
        "columns",
        "Only these of the parameters and final metrics: param.NAME, metric.NAME.",
        {"type": "array", "items": {"type": "string"}, "maxItems": MOST_COLUMNS},
        lambda text: read_columns([text]),
    ),
    whole_number("limit", 1, MOST, DEFAULT_LIMIT, "At most so many runs."),
    Parameter("cursor", "Where the page begins: next or previous of an answer.", {"type": "string"}, str),
]
TYPING = choice(
    "typing",
    Typing,
    "Whether q is still being typed: then one that can't be read finds no run, and problem says why; else it is a 400.",
    Typing.NO,
)


@describes(Operation("Runs: searched, sorted, page by page", RunList, [*PARAMETERS, TYPING]))
@reading
def runs(request: HttpRequest) -> HttpResponse:
    """``{"runs": […], "next": cursor | null, "previous": cursor | null, "problem": null}``: the address of the list of
    runs, as JSON.

    Pinned runs stand where the order has them; groups are for the page alone.
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
    return _answer(
        [run_document(run, view) for run in page.runs],
        next=page.next and page.next.text(view.sort),
        previous=page.previous and page.previous.text(view.sort),
    )


def unreadable(error: ViewError) -> JsonResponse:
    """The answer to an address that is none of a list, outside the API."""
    return JsonResponse({"error": str(error), "parameter": error.parameter}, status=400)


def _answer(runs: list[dict[str, Any]], **others: object) -> HttpResponse:
    document = {"runs": runs, "next": None, "previous": None, "problem": None} | others
    return JsonResponse(document, headers=NO_STORE)


def run_document(listed: Listed, view: View) -> dict[str, Any]:
    """With the view's columns of its parameters and final metrics, or with all of them."""
    fields = run_fields(listed.run)
    if view.columns is not None:
        fields |= {
            "params": _some(fields["params"], "param", view),
            "final_metrics": _some(fields["final_metrics"], "metric", view),
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
    """Those of the values that the view has as columns."""
    keys = [key.key for key in view.columns or () if key.kind == kind]
    return {key: values[key] for key in keys if key in values}
