"""The comparison of several runs: all of them in one JSON answer, and the page that draws it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from hashlib import sha256
from typing import Any

import orjson
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe

from store import warm
from warmboard.contract.entries import Body, Encoding, EntryKey, Resolution
from webapp.access.security_headers import keeps_process
from webapp.api.bodies import COMPRESSION, ZSTD, Coding, codings_of, unchanged, whole
from webapp.api.operation import Operation, describes
from webapp.api.parameters import BadRequest
from webapp.api.reading import reading
from webapp.api.shapes import ComparedSummaries, Comparison
from webapp.compare.asked import CHOSEN, FEWEST, FIRST, METRICS, MOST, MOST_METRICS, RUNS
from webapp.compare.parts import Index, first, read
from webapp.run.summary import compared_documents
from webapp.visibility.reader import reader_of

ENTRIES: dict[str, Callable[[str], EntryKey]] = {
    "summaries": EntryKey.summaries,
    "history": lambda run_id: EntryKey.history(run_id, Resolution.OVERVIEW),
}
Stored = dict[str, Body | None]
"""The stored bodies of one run, by their names in the answer."""


@describes(Operation("Compare runs: each with its summaries and its overview", Comparison, [RUNS, FIRST]))
@reading
def comparison(request: HttpRequest) -> HttpResponse:
    """``{"available": true, "runs": […]}`` in the order of ``?runs=``: each run's state and columns, and its stored
    summaries and overview, null if they are not warm. At most four queries for any number of runs, and two for hidden
    experiments.
    """
    run_ids, most = RUNS.read(request), FIRST.read(request)
    seen = reader_of(request).seen(run_ids)
    stored = _stored(run_ids, seen, ("summaries", "history"))
    heads = compared_documents({run_id: found["history"] is not None for run_id, found in stored.items()}, seen)
    etag = _etag([most, heads], stored)
    codings = _codings(request)
    if answer := unchanged(request, etag, codings):
        return answer
    if most is None:
        runs = [_spliced(heads[run_id], {name: _text(body) for name, body in found.items()})
                for run_id, found in stored.items()]  # fmt: skip
        return _answer(_joined(runs), etag, codings)
    index = Index(len(run_ids))
    runs = [
        _spliced(heads[run_id], {"summaries": read(found["summaries"], first(most), index),
                                 "history": _text(found["history"])})
        for run_id, found in stored.items()
    ]  # fmt: skip
    named = b',"metrics":%s,"metrics_total":%d}' % (orjson.dumps(index.document()), index.total)
    return _answer(_joined(runs)[:-1] + named, etag, codings)


@describes(Operation("Some metrics of several runs: their summaries", ComparedSummaries, [RUNS, METRICS]))
@reading
def summaries(request: HttpRequest) -> HttpResponse:
    """``{"available": true, "runs": [{"mlflow_run_id": …, "summaries": …}, …]}``: what ``comparison`` has of these
    metrics. At most one query, and two for hidden experiments.
    """
    run_ids, keys = RUNS.read(request), METRICS.read(request)
    stored = _stored(run_ids, reader_of(request).seen(run_ids), ("summaries",))
    etag = _etag([run_ids, keys], stored)
    codings = _codings(request)
    if answer := unchanged(request, etag, codings):
        return answer
    runs = [
        _spliced({"mlflow_run_id": run_id}, {"summaries": read(found["summaries"], lambda told: keys)})
        for run_id, found in stored.items()
    ]
    return _answer(_joined(runs), etag, codings)


@keeps_process
@require_safe
@never_cache
@gzip_page
def page(request: HttpRequest) -> HttpResponse:
    """The page, whose script draws what the API returns. With fewer than two runs it shows how to choose."""
    try:
        run_ids = CHOSEN.read(request)
    except BadRequest as error:
        context = {"status": 400, "what": str(error), "advice": "Choose runs in the list of runs."}
        return render(request, "webapp/error.html", context, status=400)
    data = f"/api/compare?runs={','.join(run_ids)}&first={MOST_METRICS}" if len(run_ids) >= FEWEST else ""
    return render(
        request, "compare/compare.html", {"run_ids": run_ids, "data": data, "most": MOST, "first": MOST_METRICS}
    )


def _stored(run_ids: Iterable[str], seen: Iterable[str], names: Collection[str]) -> dict[str, Stored]:
    """The bodies with these names, of the runs that the reader may see; None for those that are not warm."""
    keys = {run_id: {name: ENTRIES[name](run_id) for name in names} for run_id in seen}
    bodies = warm.get_many([key for of_run in keys.values() for key in of_run.values()], Encoding.GZIP)
    return {
        run_id: {name: bodies.get(keys[run_id][name]) if run_id in keys else None for name in names}
        for run_id in run_ids
    }


def _codings(request: HttpRequest) -> list[Coding]:
    """The combined body is not stored and is compressed here: every client reads gzip."""
    return [coding for coding in codings_of(request.META.get("HTTP_ACCEPT_ENCODING", "")) if coding is not ZSTD]


def _etag(about: object, stored: dict[str, Stored]) -> str:
    known = [about, *([body and body.etag for body in found.values()] for found in stored.values())]
    return sha256(json.dumps(known).encode()).hexdigest()[:32]


def _answer(text: bytes, etag: str, codings: list[Coding]) -> HttpResponse:
    return whole(gzip.compress(text, COMPRESSION) if codings[0].name else text, etag, codings[0])


def _joined(runs: list[bytes]) -> bytes:
    return b'{"available":true,"runs":[%s]}' % b",".join(runs)


def _spliced(head: dict[str, Any], texts: Mapping[str, bytes]) -> bytes:
    """One JSON object: the head, with the texts spliced in as its last members."""
    members = b"".join(b',"%s":%s' % (name.encode(), text) for name, text in texts.items())
    return json.dumps(head).encode()[:-1] + members + b"}"


def _text(body: Body | None) -> bytes:
    return gzip.decompress(body.data) if body else b"null"
