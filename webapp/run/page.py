"""A run's page. Its script draws the data of the JSON API; a warm run's page already contains its first responses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import zstandard
from django.conf import settings
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

# Max epochs that a page loads at full resolution at once. Histograms are larger.
FULL_UP_TO = 200
HISTOGRAM_FULL_UP_TO = 40
# Compressed bytes. A page asks for larger bodies when it shows them.
LARGEST_CARRIED = 200_000
CHOSEN = {"what", "tower", "resolution", "histogram", "epoch"}
"""Query parameters that may select other histograms than the default ones."""


@dataclass(frozen=True)
class Carried:
    """A stored body in the page: JSON that can't end its script element, with the ETag of its address."""

    address: str
    etag: str
    json: SafeString

    @classmethod
    def of(cls, address: str, body: Body) -> Carried:
        # Not at once: the frame of a large body doesn't tell its length.
        text = zstandard.ZstdDecompressor().decompressobj().decompress(body.data).decode().replace("<", "\\u003c")
        return cls(address, f'"{body.etag}"', mark_safe(text))  # noqa: S308 - as Django's json_script does


@keeps_process
@require_safe
@never_cache
def run(request: HttpRequest, run_id: str) -> HttpResponse:
    """The page of a run, warm or not. Its script shows the API's responses and polls for changes."""
    summary = Summary.find(run_id, reader_of(request))
    row, document = summary.run, summary.document()
    length = (row.history_length or row.epochs or 0) if row else 0
    resolution = Resolution.FULL if 0 < length <= FULL_UP_TO else Resolution.OVERVIEW
    api = reverse("api-run", args=[run_id])
    first = {
        _history_address(api, resolution): EntryKey.history(run_id, resolution),
        f"{api}summaries/": EntryKey.summaries(run_id),
        f"{api}about/": EntryKey.about(run_id),
        # The metrics of the first charts, if they are not in the history.
        _chunk_address(api): EntryKey.metric_chunk(run_id, 0, Resolution.OVERVIEW),
    }
    if row and CHOSEN.isdisjoint(request.GET):
        first |= _histograms(api, run_id, length)
    carried = _carried(first) if document["state"] == "warm" else []
    # Django's middleware would take longer to compress a body of this size than all else takes.
    return packed(request, _run_page(request, str(row or run_id), api, resolution, document, carried))


@require_safe
@never_cache
@gzip_page
def quick_test(request: HttpRequest, quick_test_id: int) -> HttpResponseBase:
    """Redirect to the page of its run; without one, show a page that waits for it."""
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


def _chunk_address(api: str) -> str:
    return f"{api}metrics/0/?resolution={Resolution.OVERVIEW}"


def _histograms(api: str, run_id: str, epochs: int) -> dict[str, EntryKey]:
    """The page's default histograms, by the addresses that its scripts read (run.js, specs.js)."""
    resolution = Resolution.FULL if epochs <= HISTOGRAM_FULL_UP_TO else Resolution.OVERVIEW
    type_ = HistogramType.WEIGHTS
    return {
        f"{api}histogram-data/?type={type_}&tower={tower}&resolution={resolution}": EntryKey.histogram(
            run_id, type_, tower, resolution
        )
        for tower in Tower
    }


def _carried(wanted: Mapping[str, EntryKey]) -> list[Carried]:
    """The warm ones, read in zstd, which decompresses fastest."""
    bodies = warm.get_many(wanted.values(), Encoding.ZSTD)
    found = [(address, bodies[key]) for address, key in wanted.items() if key in bodies]
    return [Carried.of(address, body) for address, body in found if len(body.data) <= LARGEST_CARRIED]


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
        "mlflow": settings.MLFLOW_UI_URLS.get(summary.get("tracking_server", ""), ""),
    }
    return render(request, "run/run.html", context)
