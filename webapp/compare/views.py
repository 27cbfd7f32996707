"""The comparison of several runs: all of them in one JSON answer, and the page that draws it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe

from store import warm
from warmboard.contract.entries import Body, Encoding, EntryKey, Resolution
from warmboard.contract.events import RUN_ID
from webapp.access.security_headers import keeps_process
from webapp.api.bodies import COMPRESSION, ZSTD, codings_of, unchanged, whole
from webapp.api.operation import Operation, describes
from webapp.api.parameters import BadRequest, Parameter
from webapp.api.reading import reading
from webapp.api.shapes import Comparison
from webapp.run.summary import compared_documents
from webapp.visibility.reader import reader_of

FEWEST, MOST = 2, 50
Stored = dict[str, Body | None]
"""The stored bodies of one run, by their names in the answer."""


def _run_ids(fewest: int) -> Callable[[str], list[str]]:
    """A parser of comma-separated run IDs, without duplicates. It raises ValueError for an invalid list."""

    def parse(text: str) -> list[str]:
        run_ids = list(dict.fromkeys(text.split(","))) if text else []
        if "" in run_ids:
            raise ValueError("an ID is empty")
        if malformed := next((run_id for run_id in run_ids if not RUN_ID.fullmatch(run_id)), None):
            raise ValueError(f"{malformed!r} is not a run ID")
        if not fewest <= len(run_ids) <= MOST:
            raise ValueError(f"has {len(run_ids)} different runs; {FEWEST} to {MOST} can be compared")
        return run_ids

    return parse


_RUNS = {
    "type": "string",
    "pattern": f"^{RUN_ID.pattern}(,{RUN_ID.pattern}){{{FEWEST - 1},{MOST - 1}}}$",
    "examples": ["first-run,second-run"],
}
RUNS = Parameter("runs", "IDs of 2 to 50 different runs, separated by commas.", _RUNS, _run_ids(FEWEST), required=True)
CHOSEN: Parameter[list[str]] = Parameter("runs", "Run IDs, separated by commas.", _RUNS, _run_ids(0), default=[])


@describes(Operation("Compare runs: each with its summaries and its overview", Comparison, [RUNS]))
@reading
def comparison(request: HttpRequest) -> HttpResponse:
    """``{"available": true, "runs": […]}`` in the order of ``?runs=``: each run's state and columns, and its stored
    summaries and overview, null if they are not warm. At most four queries for any number of runs, and two for hidden
    experiments.
    """
    run_ids = RUNS.read(request)
    seen = reader_of(request).seen(run_ids)
    keys = {run_id: _keys(run_id) for run_id in seen}
    bodies = warm.get_many([key for of_run in keys.values() for key in of_run.values()], Encoding.GZIP)
    stored = {run_id: _stored(keys.get(run_id, {}), bodies) for run_id in run_ids}
    heads = compared_documents({run_id: found["history"] is not None for run_id, found in stored.items()}, seen)
    etag = _etag(heads, stored)
    # The combined body is not stored and is compressed here: every client reads gzip.
    codings = [coding for coding in codings_of(request.META.get("HTTP_ACCEPT_ENCODING", "")) if coding is not ZSTD]
    if answer := unchanged(request, etag, codings):
        return answer
    text = b'{"available":true,"runs":[%s]}' % b",".join(
        _spliced(heads[run_id], found) for run_id, found in stored.items()
    )
    return whole(gzip.compress(text, COMPRESSION) if codings[0].name else text, etag, codings[0])


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
    data = f"/api/compare?runs={','.join(run_ids)}" if len(run_ids) >= FEWEST else ""
    return render(request, "compare/compare.html", {"run_ids": run_ids, "data": data, "most": MOST})


def _keys(run_id: str) -> dict[str, EntryKey]:
    """The entries of a compared run, by their names in the answer."""
    return {"summaries": EntryKey.summaries(run_id), "history": EntryKey.history(run_id, Resolution.OVERVIEW)}


def _stored(keys: Mapping[str, EntryKey], bodies: Mapping[EntryKey, Body]) -> Stored:
    return {name: bodies.get(keys[name]) if name in keys else None for name in ("summaries", "history")}


def _etag(heads: dict[str, dict[str, Any]], stored: dict[str, Stored]) -> str:
    known = [
        [head, *(body and body.etag for body in found.values())]
        for head, found in zip(heads.values(), stored.values(), strict=True)
    ]
    return sha256(json.dumps(known).encode()).hexdigest()[:32]


def _spliced(head: dict[str, Any], stored: Stored) -> bytes:
    """One JSON object: the head, with the stored texts spliced in as its last members."""
    texts = ((name, gzip.decompress(body.data) if body else b"null") for name, body in stored.items())
    members = b"".join(b',"%s":%s' % (name.encode(), text) for name, text in texts)
    return json.dumps(head).encode()[:-1] + members + b"}"
