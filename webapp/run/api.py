"""One run as JSON. Charts are stored bodies, sent as they are; "not warm yet" is an answer, not an error."""

from __future__ import annotations

from dataclasses import replace
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse

from store import warm
from store.models import QuickTest
from store.state import EXPECT
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
from webapp.api.parameters import choice
from webapp.api.reading import NO_STORE, NotWarm, View, not_warm, reading, reading_bodies
from webapp.api.shapes import AnnouncedRun, RunSummary
from webapp.run.summary import Summary
from webapp.visibility.reader import reader_of

CHARTS = "Charts of a run"

RESOLUTION = choice("resolution", Resolution, "All epochs, or a bounded number of them.", Resolution.OVERVIEW)
TYPE = choice("type", HistogramType, "What is counted: weights, or their gradients.")
TOWER = choice("tower", Tower, "Which tower's histogram: `query` or `candidate`.")


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


def _missing(run_id: str, reason: str) -> JsonResponse:
    """What a warm run lacks for this reason; a run that is not warm says that it is not."""
    if warm.get(EntryKey.history(run_id, Resolution.OVERVIEW), Encoding.GZIP) is None:
        return not_warm(run_id)
    return NotWarm(run_id, "unknown", "It appears here when the run logs one.", reason).response()


def _no_run(quick_test_id: int) -> JsonResponse:
    return NotWarm(None, "unknown", EXPECT["unknown"], f"Quick test {quick_test_id} has no run yet.").response()
