"""The HTML pages: the list of runs, and one run's page, which fills itself from the JSON API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe

from contract.entries import Resolution
from store.models import Run
from store.state import EXPECT
from webapp.api import BEFORE, LIMIT, run_of
from webapp.parameters import BadRequest
from webapp.runs import Listed, Summary, page
from webapp.sparkline import Sparkline, sparkline

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
# The first key that a run has is shown.
LOSS_KEYS = ("final_val_loss", "val_loss", "final_loss", "loss", "test_loss")
RECALL_KEYS = ("test_recall_at_10", "recall_at_10", "val_recall_at_10")
NO_VALUE = "\N{EN DASH}"
KEY_PARAMS = {"optimizer": "", "learning_rate": "lr ", "embedding_dim": "dim ", "batch_size": "batch "}
STATUS_WORDS = {
    "FINISHED": "finished",
    "RUNNING": "running",
    "FAILED": "failed",
    "KILLED": "killed",
    "SCHEDULED": "scheduled",
}
STATE_WORDS = {
    "warm": "warm",
    "pending": "waiting",
    "warming": "warming",
    "failed": "not warmed",
    "rebuilding": "rebuilding",
    "expired": "expired",
    "unknown": "not warm",
}


@dataclass(frozen=True)
class Row:
    """One run in the table, in words."""

    listed: Listed
    run: Run
    sparkline: Sparkline
    status: str
    state: str
    loss: str
    recall: str
    more_metrics: list[str]
    params: list[str]
    ago: str

    @classmethod
    def of(cls, listed: Listed, now: datetime) -> Row:
        run = listed.run
        loss_key, recall_key = _first(run.final_metrics, LOSS_KEYS), _first(run.final_metrics, RECALL_KEYS)
        others = [key for key in sorted(run.final_metrics) if key not in (*LOSS_KEYS, *RECALL_KEYS)]
        return cls(
            listed=listed,
            run=run,
            sparkline=sparkline(run.sparkline),
            status=STATUS_WORDS.get(run.status, run.status.lower()),
            state=STATE_WORDS[listed.state],
            loss=_number(run.final_metrics.get(loss_key)),
            recall=_number(run.final_metrics.get(recall_key)),
            more_metrics=[] if loss_key else [f"{key} {_number(run.final_metrics[key])}" for key in others[:2]],
            params=_key_params(run.params),
            ago=ago(run.end_time or run.announced_at, now),
        )


@require_safe
@never_cache
@gzip_page
def runs(request: HttpRequest) -> HttpResponse:
    try:
        found = page(LIMIT.read(request), BEFORE.read(request))
    except BadRequest as error:
        context = {"status": 400, "what": str(error), "advice": "The list of runs starts at its newest."}
        return render(request, "webapp/error.html", context, status=400)
    now = timezone.now()
    rows = [Row.of(listed, now) for listed in found.runs]
    return render(request, "webapp/runs.html", {"rows": rows, "before": found.before, "older": "before" in request.GET})


@require_safe
@never_cache
@gzip_page
def run(request: HttpRequest, run_id: str) -> HttpResponse:
    """The same page whether the run is warm or not: its script shows what the API answers, and follows along."""
    summary = Summary.find(run_id)
    row = summary.run
    resolution = Resolution.FULL if row and row.epochs and row.epochs <= FULL_UP_TO else Resolution.OVERVIEW
    return _run_page(request, str(row or run_id), reverse("api-run", args=[run_id]), resolution, summary.document())


@require_safe
@never_cache
@gzip_page
def quick_test(request: HttpRequest, quick_test_id: int) -> HttpResponseBase:
    """Leads to the page of its run; while it has none, the page waits for it."""
    if run_id := run_of(quick_test_id):
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


def ago(moment: datetime, now: datetime) -> str:
    """How long ago, in one unit: ``3 min ago``."""
    passed = max(now - moment, timedelta())
    units = ((86_400, "d"), (3_600, "h"), (60, "min"))
    for seconds, unit in units:
        if passed.total_seconds() >= seconds:
            return f"{int(passed.total_seconds() // seconds)} {unit} ago"
    return "just now"


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


def _first(values: Mapping[str, object], keys: tuple[str, ...]) -> str:
    return next((key for key in keys if values.get(key) is not None), "")


def _number(value: float | None) -> str:
    return NO_VALUE if value is None else f"{value:#.4g}".rstrip(".")


def _key_params(params: Mapping[str, str]) -> list[str]:
    known = [f"{label}{params[key]}" for key, label in KEY_PARAMS.items() if params.get(key)]
    return known or [f"{key} {value}" for key, value in sorted(params.items()) if len(str(value)) <= 16][:3]
