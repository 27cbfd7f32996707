"""The JSON API. Charts are stored bodies handed out as they are; "not warm yet" is an answer, not an error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import lru_cache, wraps
from typing import Any, TypeVar

from django.http import HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.views.decorators.http import require_safe

from contract.entries import Encoding, EntryKey, HistogramType, Resolution, Tower
from store import warm
from store.models import QuickTest
from store.state import EXPECT, run_state
from webapp.bodies import warm_response
from webapp.runs import Summary

E = TypeVar("E", bound=StrEnum)
View = Callable[..., HttpResponse]
QUERIES_REMEMBERED = 256
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


def reading(view: View) -> View:
    """GET and HEAD only; a parameter that can't be used is answered with 400."""

    @require_safe
    @wraps(view)
    def answer(request: HttpRequest, **parts: Any) -> HttpResponse:
        try:
            return view(request, **parts)
        except BadRequest as error:
            return JsonResponse(error.document, status=400)

    return answer


def reading_bodies(view: View) -> View:
    """``reading`` what the store keeps, and nothing of the reader's: see ``shortcut.py``."""
    answer = reading(view)
    answer.reads_bodies = True  # type: ignore[attr-defined]
    return answer


def of_quick_test(view: View) -> View:
    """The same of the run that a quick test points at."""

    @wraps(view)
    def answer(request: HttpRequest, quick_test_id: int, **parts: Any) -> HttpResponse:
        run_id = run_of(quick_test_id)
        return view(request, run_id=run_id, **parts) if run_id else _no_run(quick_test_id)

    return answer


@reading
def run(request: HttpRequest, run_id: str) -> HttpResponse:
    """State, timings and summary of one run; 404 when nothing has announced it."""
    summary = Summary.find(run_id)
    if not summary.known:
        return JsonResponse({"error": f"No event has announced a run {run_id}."}, status=404, headers=NO_STORE)
    return JsonResponse(summary.document(), headers=NO_STORE)


@reading_bodies
def history(request: HttpRequest, run_id: str) -> HttpResponse:
    resolution = _read_choice(request, "resolution", Resolution, Resolution.OVERVIEW)
    return warm_response(request, EntryKey.history(run_id, resolution)) or _not_warm(run_id)


@reading_bodies
def histogram(request: HttpRequest, run_id: str) -> HttpResponse:
    type_ = _read_choice(request, "type", HistogramType)
    tower = _read_choice(request, "tower", Tower)
    resolution = _read_choice(request, "resolution", Resolution, Resolution.OVERVIEW)
    found = warm_response(request, EntryKey.histogram(run_id, type_, tower, resolution))
    return found or _missing(run_id, f"The run has logged no histogram of the {tower} tower's {type_}.")


@reading_bodies
def metrics(request: HttpRequest, run_id: str) -> HttpResponse:
    """The index of the metrics that the history has no place for."""
    found = warm_response(request, EntryKey.metric_index(run_id))
    return found or _missing(run_id, "The run has logged no metrics besides those of its history.")


@reading_bodies
def metric_chunk(request: HttpRequest, run_id: str, chunk: int) -> HttpResponse:
    """The curves of some metrics of the index."""
    resolution = _read_choice(request, "resolution", Resolution, Resolution.OVERVIEW)
    found = warm_response(request, EntryKey.metric_chunk(run_id, chunk, resolution))
    return found or _missing(run_id, f"The run's metrics have no chunk {chunk}.")


def run_of(quick_test_id: int) -> str:
    """The run of a quick test; empty when there is no such test or it has no run yet."""
    return QuickTest.objects.filter(pk=quick_test_id).values_list("mlflow_run_id", flat=True).first() or ""


def query_of(request: HttpRequest) -> QueryDict:
    """``request.GET``, parsed once for all requests that ask alike."""
    return _query(request.META.get("QUERY_STRING", ""))


@lru_cache(QUERIES_REMEMBERED)
def _query(text: str) -> QueryDict:
    # Latin-1 is how WSGI hands over bytes.
    return QueryDict(text.encode("latin-1"))


def _read_choice(request: HttpRequest, name: str, choices: type[E], default: E | None = None) -> E:
    """The value of a query parameter; required when there is no default. Raises BadRequest."""
    text = query_of(request).get(name)
    if text is None and default is not None:
        return default
    try:
        return choices(text or "")
    except ValueError:
        allowed = [choice.value for choice in choices]
        given = "is missing" if text is None else f"{text!r} is unknown"
        raise BadRequest(name, f"{given}; allowed are {', '.join(allowed)}", allowed) from None


def _not_warm(run_id: str) -> JsonResponse:
    state = run_state(run_id)
    return NotWarm(run_id, state.state, state.expect, state.reason, state.attempts).response()


def _missing(run_id: str, reason: str) -> JsonResponse:
    """What a warm run lacks for this reason; a run that is not warm says that it is not."""
    if warm.get(EntryKey.history(run_id, Resolution.OVERVIEW), Encoding.GZIP) is None:
        return _not_warm(run_id)
    return NotWarm(run_id, "unknown", "It appears here when the run logs one.", reason).response()


def _no_run(quick_test_id: int) -> JsonResponse:
    return NotWarm(None, "unknown", EXPECT["unknown"], f"Quick test {quick_test_id} has no run yet.").response()
