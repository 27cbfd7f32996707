"""The JSON API. Charts are stored bodies handed out as they are; "not warm yet" is an answer, not an error."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TypeVar

from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.views.decorators.http import require_safe

from contract.entries import EntryKey, HistogramType, Resolution, Tower
from store import warm
from store.models import QuickTest, Run
from store.state import EXPECT, run_state
from webapp.bodies import entry_response
from webapp.runs import Cursor, CursorError, Summary, listed_document, page

E = TypeVar("E", bound=StrEnum)
DEFAULT_LIMIT, MOST = 50, 200
NO_STORE = {"Cache-Control": "no-store"}


class BadRequest(Exception):
    """A query parameter can't be used. ``document`` is the answer's JSON."""

    def __init__(self, parameter: str, message: str, allowed: list[str] | None = None) -> None:
        super().__init__(message)
        self.document = {"error": f"{parameter}: {message}", "parameter": parameter, "allowed": allowed}


@dataclass(frozen=True)
class NotWarm:
    """Why there is no body, and what the viewer may expect."""

    mlflow_run_id: str | None
    state: str
    expect: str
    reason: str = ""
    attempts: int = 0

    def response(self) -> JsonResponse:
        return JsonResponse({"available": False, **asdict(self)}, headers=NO_STORE)


@require_safe
def runs(request: HttpRequest) -> JsonResponse:
    """``{"runs": […], "before": cursor | null}``; ``?before=`` takes the cursor, ``?limit=`` 1 to 200."""
    try:
        found = page(read_limit(request), read_cursor(request))
    except BadRequest as error:
        return JsonResponse(error.document, status=400)
    document = {"runs": [listed_document(run) for run in found.runs], "before": found.before and str(found.before)}
    return JsonResponse(document, headers=NO_STORE)


@require_safe
def run(request: HttpRequest, run_id: str) -> JsonResponse:
    """State, timings and summary of one run; 404 when nothing has announced it."""
    summary = Summary.find(run_id)
    if not summary.known:
        return JsonResponse({"error": f"No event has announced a run {run_id}."}, status=404, headers=NO_STORE)
    return JsonResponse(summary.document(), headers=NO_STORE)


@require_safe
def run_history(request: HttpRequest, run_id: str) -> HttpResponseBase:
    return _history(request, run_id)


@require_safe
def quick_test_history(request: HttpRequest, quick_test_id: int) -> HttpResponseBase:
    run_id = run_of(quick_test_id)
    return _history(request, run_id) if run_id else _no_run(quick_test_id)


@require_safe
def run_histogram(request: HttpRequest, run_id: str) -> HttpResponseBase:
    return _histogram(request, run_id)


@require_safe
def quick_test_histogram(request: HttpRequest, quick_test_id: int) -> HttpResponseBase:
    run_id = run_of(quick_test_id)
    return _histogram(request, run_id) if run_id else _no_run(quick_test_id)


def run_of(quick_test_id: int) -> str:
    """The run of a quick test; empty when there is no such test or it has no run yet."""
    return QuickTest.objects.filter(pk=quick_test_id).values_list("mlflow_run_id", flat=True).first() or ""


def read_limit(request: HttpRequest) -> int:
    """Raises BadRequest."""
    text = request.GET.get("limit", str(DEFAULT_LIMIT))
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MOST):
        raise BadRequest("limit", f"{text!r} is not a whole number from 1 to {MOST}")
    return int(text)


def read_cursor(request: HttpRequest) -> Cursor | None:
    """Raises BadRequest."""
    text = request.GET.get("before", "")
    try:
        return Cursor.parse(text) if text else None
    except CursorError as error:
        raise BadRequest("before", str(error)) from None


def _history(request: HttpRequest, run_id: str) -> HttpResponseBase:
    try:
        resolution = _read_choice(request, "resolution", Resolution, Resolution.OVERVIEW)
    except BadRequest as error:
        return JsonResponse(error.document, status=400)
    entry = warm.get(EntryKey.history(run_id, resolution))
    return entry_response(request, entry) if entry else _not_warm(run_id).response()


def _histogram(request: HttpRequest, run_id: str) -> HttpResponseBase:
    try:
        type_ = _read_choice(request, "type", HistogramType)
        tower = _read_choice(request, "tower", Tower)
        resolution = _read_choice(request, "resolution", Resolution, Resolution.OVERVIEW)
    except BadRequest as error:
        return JsonResponse(error.document, status=400)
    entry = warm.get(EntryKey.histogram(run_id, type_, tower, resolution))
    if entry:
        return entry_response(request, entry)
    if warm.get(EntryKey.history(run_id, Resolution.OVERVIEW)):
        return _no_histogram(run_id, type_, tower).response()
    return _not_warm(run_id).response()


def _read_choice(request: HttpRequest, name: str, choices: type[E], default: E | None = None) -> E:
    """The value of a query parameter; required when there is no default. Raises BadRequest."""
    text = request.GET.get(name)
    if text is None and default is not None:
        return default
    try:
        return choices(text or "")
    except ValueError:
        allowed = [choice.value for choice in choices]
        given = "is missing" if text is None else f"{text!r} is unknown"
        raise BadRequest(name, f"{given}; allowed are {', '.join(allowed)}", allowed) from None


def _not_warm(run_id: str) -> NotWarm:
    state = run_state(run_id)
    reason = state.reason
    if state.state == "unknown" and Run.objects.filter(pk=run_id, warmed_at__isnull=False).exists():
        reason = "The run was warmed by another version of Warmboard. An operator can replay its event."
    return NotWarm(run_id, state.state, state.expect, reason, state.attempts)


def _no_histogram(run_id: str, type_: HistogramType, tower: Tower) -> NotWarm:
    reason = f"The run has logged no histogram of the {tower} tower's {type_}."
    return NotWarm(run_id, "unknown", "It appears here when the run logs one.", reason)


def _no_run(quick_test_id: int) -> JsonResponse:
    return NotWarm(None, "unknown", EXPECT["unknown"], f"Quick test {quick_test_id} has no run yet.").response()
