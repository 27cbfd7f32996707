"""One run's page, which draws itself from the JSON API; of a warm run it carries what the API would answer first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import zstandard
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.cache import never_cache
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe

from store import warm
from store.state import EXPECT
from warmboard.contract.entries import Body, Encoding, EntryKey, HistogramType, Resolution, Tower
from webapp.access.security_headers import keeps_process
from webapp.api.bodies import packed
from webapp.run.api import run_of
from webapp.run.summary import Summary
from webapp.visibility.reader import reader_of

# Up to so many epochs a page shows every one at once: the body is small. Histograms are larger.
FULL_UP_TO = 200
HISTOGRAM_FULL_UP_TO = 40
CHOSEN = {"what", "tower", "resolution", "histogram", "epoch"}
"""With one of these in its address a page may show other histograms than by itself."""


@dataclass(frozen=True)
class Carried:
    """A stored body in the page: as JSON that can't end its element, with the ETag that its address would have sent."""

    address: str
    etag: str
    json: SafeString

    @classmethod
    def of(cls, address: str, body: Body) -> Carried:
        text = zstandard.ZstdDecompressor().decompress(body.data).decode().replace("<", "\\u003c")
        return cls(address, f'"{body.etag}"', mark_safe(text))  # noqa: S308 - as Django's json_script does


@keeps_process
@require_safe
@never_cache
def run(request: HttpRequest, run_id: str) -> HttpResponse:
    """The same page whether the run is warm or not: its script shows what the API answers, and follows along."""
    summary = Summary.find(run_id, reader_of(request))
    row, document = summary.run, summary.document()
    resolution = Resolution.FULL if row and row.epochs and row.epochs <= FULL_UP_TO else Resolution.OVERVIEW
    api = reverse("api-run", args=[run_id])
    first = {_history_address(api, resolution): EntryKey.history(run_id, resolution)}
    if row and CHOSEN.isdisjoint(request.GET):
        first |= _histograms(api, run_id, row.epochs or 0)
    carried = _carried(first) if document["state"] == "warm" else []
    # Faster than what the middleware of Django does with bodies of this size, which takes longer than all the rest.
    return packed(request, _run_page(request, str(row or run_id), api, resolution, document, carried))


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
    return _run_page(request, f"Quick test {quick_test_id}", address, Resolution.OVERVIEW, summary, [])


def _history_address(api: str, resolution: Resolution) -> str:
    return f"{api}training-history/?resolution={resolution}"


def _histograms(api: str, run_id: str, epochs: int) -> dict[str, EntryKey]:
    """Those that the page shows by itself, under the addresses that its script reads: run.js, specs.js."""
    resolution = Resolution.FULL if epochs <= HISTOGRAM_FULL_UP_TO else Resolution.OVERVIEW
    type_ = HistogramType.WEIGHTS
    return {
        f"{api}histogram-data/?type={type_}&tower={tower}&resolution={resolution}": EntryKey.histogram(
            run_id, type_, tower, resolution
        )
        for tower in Tower
    }


def _carried(wanted: Mapping[str, EntryKey]) -> list[Carried]:
    """Those that are warm, read in zstd: the quickest to unpack."""
    bodies = warm.get_many(wanted.values(), Encoding.ZSTD)
    return [Carried.of(address, bodies[key]) for address, key in wanted.items() if key in bodies]


def _run_page(
    request: HttpRequest, title: str, api: str, resolution: Resolution, summary: dict[str, Any], carried: list[Carried]
) -> HttpResponse:
    context = {
        "title": title,
        "api": api,
        "history": _history_address(api, resolution),
        "resolution": resolution,
        "carried": carried,
        "full_up_to": FULL_UP_TO,
        "histogram_full_up_to": HISTOGRAM_FULL_UP_TO,
        "summary": summary,
    }
    return render(request, "run/run.html", context)
