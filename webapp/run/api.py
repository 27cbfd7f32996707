"""The JSON API. Charts are stored bodies handed out as they are; "not warm yet" is an answer, not an error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import wraps
from typing import Any, Literal

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from store import warm
from store.models import QuickTest
from store.state import EXPECT, State, run_state
from warmboard.contract.entries import (
    Encoding,
    EntryKey,
    Histogram,
    HistogramType,
    History,
    MetricChunk,
    MetricIndex,
    Resolution,
    Tower,
)
from webapp.api.bodies import warm_response
from webapp.api.operation import Operation, describes, operations_of
from webapp.api.parameters import BadRequest, choice
from webapp.api.shapes import AnnouncedRun, RunSummary
from webapp.run.summary import Summary
from webapp.visibility.reader import reader_of

View = Callable[..., HttpResponseBase]
NO_STORE = {"Cache-Control": "no-store"}
CHARTS = "Charts of a run"

RESOLUTION = choice("resolution", Resolution, "All epochs, or a bounded number of them.", Resolution.OVERVIEW)
TYPE = choice("type", HistogramType, "What is counted: weights, or their gradients.")
TOWER = choice("tower", Tower, "The tower whose they are.")


@dataclass(frozen=True)
class NotWarm:
    """Why there is no body, and what the viewer may expect."""

    available: Literal[False] = field(default=False, init=False)
    mlflow_run_id: str | None
    state: State
    expect: str
    reason: str = ""
    attempts: int = 0

    def response(self) -> JsonResponse:
        return JsonResponse(asdict(self), headers=NO_STORE)


def reading(view: View) -> View:
    """GET and HEAD only; a parameter that can't be used is answered with 400."""

    # What changes nothing can't be forged: another method is refused as such, whoever asks.
    @csrf_exempt
    @wraps(view)
    def answer(request: HttpRequest, **parts: Any) -> HttpResponseBase:
        if request.method not in ("GET", "HEAD"):
            error = {"error": f"{request.method} is not allowed here; GET and HEAD are."}
            return JsonResponse(error, status=405, headers={"Allow": "GET, HEAD"})
        try:
            return view(request, **parts)
        except BadRequest as error:
            return JsonResponse(error.document, status=400)

    answer.only_reads = True  # type: ignore[attr-defined]
    return answer


def reading_bodies(view: View) -> View:
    """``reading`` what the store keeps, and nothing of the reader's: see ``shortcut.py``."""
    answer = reading(of_seen_run(view))
    answer.reads_bodies = True  # type: ignore[attr-defined]
    return answer


def of_seen_run(view: View) -> View:
    """What the reader may not see is answered as a run that nobody has announced is."""

    @wraps(view)
    def answer(request: HttpRequest, run_id: str, **parts: Any) -> HttpResponseBase:
        if reader_of(request).sees(run_id):
            return view(request, run_id=run_id, **parts)
        found = view(request, run_id="", **parts)
        # What is refused of any run is refused of none.
        return NotWarm(run_id, "unknown", EXPECT["unknown"]).response() if found.status_code == 200 else found

    return answer


def of_quick_test(view: View) -> View:
    """The same of the run that a quick test points at."""

    @wraps(view)
    def answer(request: HttpRequest, quick_test_id: int, **parts: Any) -> HttpResponseBase:
        run_id = run_of(request, quick_test_id)
        found = view(request, run_id=run_id, **parts)
        # What is refused of any run is refused of none.
        return found if run_id or found.status_code != 200 else _no_run(quick_test_id)

    for method, operation in operations_of(view).items():
        answer = describes(replace(operation, group="The same by quick test"), method)(answer)
    return answer


@describes(
    Operation(
        "State, timings, events and summary of one run",
        RunSummary | AnnouncedRun,
        errors={404: "No event has announced such a run."},
    )
)
@reading
def run(request: HttpRequest, run_id: str) -> HttpResponse:
    """State, timings and summary of one run; 404 when nothing has announced it."""
    summary = Summary.find(run_id, reader_of(request))
    if not summary.known:
        return JsonResponse({"error": f"No event has announced a run {run_id}."}, status=404, headers=NO_STORE)
    return JsonResponse(summary.document(), headers=NO_STORE)


@describes(Operation("Curves, insights, final metrics, parameters", History | NotWarm, [RESOLUTION], CHARTS))
@reading_bodies
def history(request: HttpRequest, run_id: str) -> HttpResponse:
    resolution = RESOLUTION.read(request)
    return warm_response(request, EntryKey.history(run_id, resolution)) or not_warm(run_id)


@describes(Operation("Histograms over the epochs", Histogram | NotWarm, [TYPE, TOWER, RESOLUTION], CHARTS))
@reading_bodies
def histogram(request: HttpRequest, run_id: str) -> HttpResponse:
    type_ = TYPE.read(request)
    tower = TOWER.read(request)
    resolution = RESOLUTION.read(request)
    found = warm_response(request, EntryKey.histogram(run_id, type_, tower, resolution))
    return found or _missing(run_id, f"The run has logged no histogram of the {tower} tower's {type_}.")


@describes(Operation("The index of other metrics", MetricIndex | NotWarm, group=CHARTS))
@reading_bodies
def metrics(request: HttpRequest, run_id: str) -> HttpResponse:
    """The index of the metrics that the history has no place for."""
    found = warm_response(request, EntryKey.metric_index(run_id))
    return found or _missing(run_id, "The run has logged no metrics besides those of its history.")


@describes(Operation("The curves of one chunk of the index", MetricChunk | NotWarm, [RESOLUTION], CHARTS))
@reading_bodies
def metric_chunk(request: HttpRequest, run_id: str, chunk: int) -> HttpResponse:
    """The curves of some metrics of the index."""
    resolution = RESOLUTION.read(request)
    found = warm_response(request, EntryKey.metric_chunk(run_id, chunk, resolution))
    return found or _missing(run_id, f"The run's metrics have no chunk {chunk}.")


def run_of(request: HttpRequest, quick_test_id: int) -> str:
    """The run of a quick test; empty when there is no such test, or no run of it that the reader may see."""
    run_id = QuickTest.objects.filter(pk=quick_test_id).values_list("mlflow_run_id", flat=True).first() or ""
    return run_id if reader_of(request).sees(run_id) else ""


def not_warm(run_id: str) -> JsonResponse:
    state = run_state(run_id)
    return NotWarm(run_id, state.state, state.expect, state.reason, state.attempts).response()


def _missing(run_id: str, reason: str) -> JsonResponse:
    """What a warm run lacks for this reason; a run that is not warm says that it is not."""
    if warm.get(EntryKey.history(run_id, Resolution.OVERVIEW), Encoding.GZIP) is None:
        return not_warm(run_id)
    return NotWarm(run_id, "unknown", "It appears here when the run logs one.", reason).response()


def _no_run(quick_test_id: int) -> JsonResponse:
    return NotWarm(None, "unknown", EXPECT["unknown"], f"Quick test {quick_test_id} has no run yet.").response()
