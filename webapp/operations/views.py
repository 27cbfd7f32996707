"""The page of operations, and the replay: a preview by GET, and the request by POST."""

from __future__ import annotations

import re
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_http_methods, require_safe

from store.selection import selected
from warmboard.contract.replay import ReplayRequest
from webapp.access.rights import needs
from webapp.accounts import audit
from webapp.accounts.groups import REQUEST_REPLAY, Role
from webapp.api.parameters import BadRequest
from webapp.operations import drafts
from webapp.operations.api import as_json, reads_operations
from webapp.operations.filter import STATES, Filter, read_selection
from webapp.operations.health import redis_answers
from webapp.operations.overview import Overview, request_of
from webapp.operations.publishing import PublishError, Topic
from webapp.operations.rows import Bars, Row
from webapp.visibility.reader import reader_of, visible

RUNS_SHOWN = 20
AUDIT_SHOWN, AUDIT_PAGE = 10, 100
RECORD = re.compile(r"[0-9]{1,18}")
REQUEST_ID = re.compile(r"[0-9a-f]{32}")


@require_safe
@never_cache
@reads_operations
@gzip_page
def page(request: HttpRequest) -> HttpResponse:
    hidden = reader_of(request).hidden
    try:
        wanted = Filter.read(request.GET)
        overview = Overview.find(wanted, hidden)
    except BadRequest as error:
        return bad_request(request, str(error))
    now, redis = timezone.now(), redis_answers()
    may_replay = request.user.has_perm(REQUEST_REPLAY)
    sent = request.GET.get("replay", "")
    context = {
        "filter": wanted,
        "states": STATES,
        "bars": [Bars.of(count, now) for count in overview.counts],
        "pulse": overview.pulse,
        "servers": overview.servers,
        "backfills": overview.backfills,
        "hides": bool(hidden),
        "redis_answers": redis,
        "in_flight": [Row.of(listed, now) for listed in overview.in_flight],
        "rows": [Row.of(listed, now) for listed in overview.events],
        "older": overview.before and wanted.query(overview.before),
        "newest": wanted.before and wanted.query(None),
        "api": f"{reverse('api-operations')}?{request.GET.urlencode()}",
        # The page's first poll must notice changes since this response.
        "etag": as_json(overview, redis)["ETag"],
        "may_replay": may_replay,
        "audit": audit.newest(AUDIT_SHOWN, _whose(request)) if may_replay else [],
        "snapshots": overview.snapshots,
        "sent": sent,
        "sent_row": Row.of_request(request_of(sent), now) if REQUEST_ID.fullmatch(sent) else None,
    }
    return render(request, "operations/operations.html", context)


@require_safe
@never_cache
@needs(REQUEST_REPLAY, Role.OPERATOR)
@gzip_page
def audit_log(request: HttpRequest) -> HttpResponse:
    """The audit log, a page at a time: records before the record number ``?before=``."""
    text = request.GET.get("before", "")
    if text and not RECORD.fullmatch(text):
        return bad_request(request, "before: is not a record number")
    before = int(text) if text else None
    records = audit.newest(AUDIT_PAGE + 1, _whose(request), before)
    shown = records[:AUDIT_PAGE]
    context = {
        "audit": shown,
        "own": _whose(request) is not None,
        "before": before,
        "older": shown[-1].pk if len(records) > AUDIT_PAGE else None,
    }
    return render(request, "operations/audit.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@needs(REQUEST_REPLAY, Role.OPERATOR)
def replay(request: HttpRequest) -> HttpResponseBase:
    """GET previews the runs; POST sends the previewed request."""
    who = request.user.get_username()
    try:
        if request.method == "POST":
            return _send(request, drafts.unsign(request.POST.get("request", ""), who, ReplayRequest.decode))
        now = timezone.now()
        return _preview(request, drafts.new_request(read_selection(request.GET, now), who, now))
    except (BadRequest, drafts.DraftError) as error:
        return bad_request(request, str(error))


def _whose(request: HttpRequest) -> str | None:
    """The user whose records are shown; None: all. Records may name hidden experiments, so users who may not see
    every experiment see only their own.
    """
    return request.user.get_username() if reader_of(request).hidden else None


def _send(request: HttpRequest, wanted: ReplayRequest) -> HttpResponseBase:
    try:
        Topic.configured().publish(wanted)
    except PublishError as error:
        audit.record(request, "replay", str(wanted.selection), f"request {wanted.id}", f"not confirmed: {error}")
        return _preview(request, wanted, unconfirmed=str(error))
    audit.record(request, "replay", str(wanted.selection), f"request {wanted.id}", "sent")
    return redirect(f"{reverse('operations')}?replay={wanted.id}")


def _preview(request: HttpRequest, wanted: ReplayRequest, unconfirmed: str = "") -> HttpResponse:
    runs = selected(wanted.selection)
    seen = visible(runs, reader_of(request).hidden)
    # Naming a run or an experiment must not reveal that a hidden one exists.
    named = wanted.selection.run_id or wanted.selection.experiment_name
    context: dict[str, Any] = {
        "selection": str(wanted.selection),
        "total": (seen if named else runs).count(),
        "runs": seen.only("run_id", "name", "experiment_name", "status")[:RUNS_SHOWN],
        "signed": drafts.sign(wanted),
        "unconfirmed": unconfirmed,
    }
    return render(request, "operations/replay.html", context, status=503 if unconfirmed else 200)


def bad_request(request: HttpRequest, why: str) -> HttpResponse:
    advice = "Start again from the page of operations."
    context = {"status": 400, "what": why, "advice": advice, "operations": True}
    return render(request, "webapp/error.html", context, status=400)
