"""One run's page, which fills itself from the JSON API."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe

from contract.entries import Resolution
from store.state import EXPECT
from webapp.api import run_of
from webapp.runs import Summary
from webapp.visibility.reader import reader_of

# Up to so many epochs a page shows every one at once: the body is small.
FULL_UP_TO = 200
# What draws the curves is fetched together, rather than one after another as the imports are found.
MODULES = [
    f"webapp/{name}.js"
    for name in (
        "body", "charts", "columns", "dom", "follow", "format", "head", "insights", "menu", "paint", "permalink",
        "plot", "provenance", "sections", "shortcuts", "smooth", "specs", "tools", "view", "zoom",
    )
]  # fmt: skip


@require_safe
@never_cache
@gzip_page
def run(request: HttpRequest, run_id: str) -> HttpResponse:
    """The same page whether the run is warm or not: its script shows what the API answers, and follows along."""
    summary = Summary.find(run_id, reader_of(request))
    row = summary.run
    resolution = Resolution.FULL if row and row.epochs and row.epochs <= FULL_UP_TO else Resolution.OVERVIEW
    return _run_page(request, str(row or run_id), reverse("api-run", args=[run_id]), resolution, summary.document())


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


def _run_page(
    request: HttpRequest, title: str, api: str, resolution: Resolution, summary: dict[str, Any]
) -> HttpResponse:
    context = {
        "title": title,
        "api": api,
        "history": f"{api}training-history/?resolution={resolution}",
        "resolution": resolution,
        "full_up_to": FULL_UP_TO,
        "summary": summary,
        "modules": MODULES,
    }
    return render(request, "webapp/run.html", context)
