"""One run's page, which fills itself from the JSON API."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe

from contract.entries import HistogramType, Resolution, Tower
from store.state import EXPECT
from webapp.api import run_of
from webapp.runs import Summary
from webapp.visibility.reader import reader_of

# Up to so many epochs a page shows every one at once: the body is small. Histograms are larger.
FULL_UP_TO = 200
HISTOGRAM_FULL_UP_TO = 40
# Of the histograms that a page shows by itself: on a narrow screen it is one.
WIDE = "(min-width: 821px)"
CHOSEN = {"what", "tower", "resolution", "histogram", "epoch"}


@require_safe
@never_cache
@gzip_page
def run(request: HttpRequest, run_id: str) -> HttpResponse:
    """The same page whether the run is warm or not: its script shows what the API answers, and follows along."""
    summary = Summary.find(run_id, reader_of(request))
    row, document = summary.run, summary.document()
    resolution = Resolution.FULL if row and row.epochs and row.epochs <= FULL_UP_TO else Resolution.OVERVIEW
    api = reverse("api-run", args=[run_id])
    shown = document["state"] == "warm" and CHOSEN.isdisjoint(request.GET)
    ahead = _histograms(api, row.epochs or 0) if row and shown else []
    return _run_page(request, str(row or run_id), api, resolution, document, ahead)


@require_safe
@never_cache
@gzip_page
def quick_test(request: HttpRequest, quick_test_id: int) -> HttpResponseBase:
    """Leads to the page of its run; while it has none, the page waits for it."""
    if run_id := run_of(request, quick_test_id):
        return redirect("run", run_id=run_id)
    summary: dict[str, Any] = {
        "mlflow_run_id": None,
        "state": "unknown",
        "expect": EXPECT["unknown"],
        "events": [],
        "timings": {},
    }
    address = f"/api{reverse('quick-test', args=[quick_test_id])}"
    return _run_page(request, f"Quick test {quick_test_id}", address, Resolution.OVERVIEW, summary)


def _histograms(api: str, epochs: int) -> list[tuple[str, str]]:
    """The addresses that the page's script will read, each with the screens on which it will: specs.js, run.js."""
    resolution = Resolution.FULL if epochs <= HISTOGRAM_FULL_UP_TO else Resolution.OVERVIEW
    address = f"{api}histogram-data/?type={HistogramType.WEIGHTS}&tower={{}}&resolution={resolution}"
    return [(address.format(Tower.QUERY), "all"), (address.format(Tower.CANDIDATE), WIDE)]


def _run_page(
    request: HttpRequest,
    title: str,
    api: str,
    resolution: Resolution,
    summary: dict[str, Any],
    ahead: list[tuple[str, str]] | None = None,
) -> HttpResponse:
    context = {
        "title": title,
        "api": api,
        "history": f"{api}training-history/?resolution={resolution}",
        "resolution": resolution,
        "ahead": ahead,
        "full_up_to": FULL_UP_TO,
        "histogram_full_up_to": HISTOGRAM_FULL_UP_TO,
        "summary": summary,
    }
    return render(request, "webapp/run.html", context)
