"""One run as JSON. Charts are stored bodies, sent as they are; "not warm yet" is an answer, not an error."""

from __future__ import annotations

from dataclasses import replace
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse

from store import warm
from store.models import QuickTest
from store.state import EXPECT
from warmboard.contract.about import About
from warmboard.contract.entries import (
    Encoding,
    EntryKey,
    Histogram,
    HistogramType,
    History,
    MetricChunk,
    MetricIndex,
    Resolution,
    Summaries,
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

RESOLUTION = choice("resolution", Resolution, "`full`: all epochs; `overview`: a sample of them.", Resolution.OVERVIEW)
TYPE = choice("type", HistogramType, "Histogram of weights or of gradients.")
TOWER = choice("tower", Tower, "Which tower's histogram: `query` or `candidate`.")


def of_quick_test(view: View) -> View:
    """The same view for the run of a quick test."""

    @wraps(view)
    def answer(request: HttpRequest, quick_test_id: int, **parts: Any) -> HttpResponseBase:
        run_id = run_of(request, quick_test_id)
        found = view(request, run_id=run_id, **parts)
        # Errors don't depend on the run; any other response without a run is replaced.
        return found if run_id or found.status_code != 200 else _no_run(quick_test_id)

    for method, operation in operations_of(view).items():
        answer = describes(replace(operation, group="By quick test"), method)(answer)
    return answer


@describes(
    Operation(
        "Run: state, timings, events and summary",
        RunSummary | AnnouncedRun,
        errors={404: "Unknown run."},
    )
)
@reading
def run(request: HttpRequest, run_id: str) -> HttpResponse:
    """State, timings, events and summary of one run; 404 if it is unknown."""
    summary = Summary.find(run_id, reader_of(request))
    if not summary.known:
        return JsonResponse({"error": f"No event has announced a run {run_id}."}, status=404, headers=NO_STORE)
    return JsonResponse(summary.document(), headers=NO_STORE)


@describes(Operation("Curves, insights, final metrics, parameters", History | NotWarm, [RESOLUTION], CHARTS))
@reading_bodies
def history(request: HttpRequest, run_id: str) -> HttpResponse:
    resolution = RESOLUTION.read(request)
    return warm_response(request, EntryKey.history(run_id, resolution)) or not_warm(run_id)


@describes(Operation("Histograms by epoch", Histogram | NotWarm, [TYPE, TOWER, RESOLUTION], CHARTS))
@reading_bodies
def histogram(request: HttpRequest, run_id: str) -> HttpResponse:
    type_ = TYPE.read(request)
    tower = TOWER.read(request)
    resolution = RESOLUTION.read(request)
    found = warm_response(request, EntryKey.histogram(run_id, type_, tower, resolution))
    return found or _missing(run_id, f"The run has no histogram of the {tower} tower's {type_}.")


@describes(Operation("Summaries of all metrics, and the order of their charts", Summaries | NotWarm, group=CHARTS))
@reading_bodies
def summaries(request: HttpRequest, run_id: str) -> HttpResponse:
    """Count, first, last, min and max of every metric, from all its points."""
    return warm_response(request, EntryKey.summaries(run_id)) or not_warm(run_id)


@describes(Operation("Description, tags, source, data sets and models", About | NotWarm, group=CHARTS))
@reading_bodies
def about(request: HttpRequest, run_id: str) -> HttpResponse:
    """What MLflow knows of the run besides its metrics and parameters."""
    return warm_response(request, EntryKey.about(run_id)) or not_warm(run_id)


@describes(Operation("Index of other metrics", MetricIndex | NotWarm, group=CHARTS))
@reading_bodies
def metrics(request: HttpRequest, run_id: str) -> HttpResponse:
    """The index of the metrics that the history does not contain."""
    found = warm_response(request, EntryKey.metric_index(run_id))
    return found or _missing(run_id, "The run has no metrics besides those of its history.")


@describes(Operation("Curves of one chunk of the index", MetricChunk | NotWarm, [RESOLUTION], CHARTS))
@reading_bodies
def metric_chunk(request: HttpRequest, run_id: str, chunk: int) -> HttpResponse:
    """The curves of one chunk of the index."""
    resolution = RESOLUTION.read(request)
    found = warm_response(request, EntryKey.metric_chunk(run_id, chunk, resolution))
    return found or _missing(run_id, f"The index of the run's metrics has no chunk {chunk}.")


def run_of(request: HttpRequest, quick_test_id: int) -> str:
    """The run ID of a quick test; empty if the test or its run is unknown or hidden from the reader."""
    run_id = QuickTest.objects.filter(pk=quick_test_id).values_list("mlflow_run_id", flat=True).first() or ""
    return run_id if reader_of(request).sees(run_id) else ""


def _missing(run_id: str, reason: str) -> JsonResponse:
    """The answer for an entry that the store lacks: the reason if the run is warm, otherwise its state."""
    if warm.get(EntryKey.history(run_id, Resolution.OVERVIEW), Encoding.GZIP) is None:
        return not_warm(run_id)
    return NotWarm(run_id, "unknown", "It appears here when the run logs one.", reason).response()


def _no_run(quick_test_id: int) -> JsonResponse:
    return NotWarm(None, "unknown", EXPECT["unknown"], f"Quick test {quick_test_id} has no run yet.").response()
