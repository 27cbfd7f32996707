"""The page of the list, its live rows, and the redirect from chosen runs to their comparison."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, JsonResponse, QueryDict
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import get_conditional_response
from django.views.decorators.cache import never_cache
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe

from store.models import Backfill
from webapp.access.security_headers import keeps_process
from webapp.annotations.views import may_annotate
from webapp.listing.api import unreadable
from webapp.listing.columns import shown
from webapp.listing.export import FORMATS
from webapp.listing.find import find
from webapp.listing.groups import Best, groups
from webapp.listing.measured import Numbers, count_keys
from webapp.listing.nested import Nested, folds, is_folded
from webapp.listing.query import QueryError
from webapp.listing.rows import Row, Rows, choose_keys, example, offered_keys
from webapp.listing.toolbar import toolbar
from webapp.listing.unknown import unknown
from webapp.listing.view import DEFAULT_LIMIT, View, ViewError
from webapp.run.words import number
from webapp.visibility.reader import reader_of

BULK = [("pin", "Pin"), ("unpin", "Unpin"), ("archive", "Archive"), ("restore", "Restore")]
BULK_TAGS = [("tag", "Tag"), ("untag", "Untag")]
FEWEST_COMPARED, MOST_COMPARED = 2, 50


@keeps_process
@require_safe
@never_cache
@gzip_page
def runs(request: HttpRequest) -> HttpResponse:
    try:
        view = View.read(request.GET)
    except ViewError as error:
        return _unreadable(request, error)
    context = content(view, reader_of(request).hidden)
    if not context["count"]:
        context["unknown"] = unknown(view, reader_of(request).hidden)
    context |= toolbar(view, context["columns"], context["offered"], str(view.query))
    context |= {"may_annotate": may_annotate(request), "bulk": BULK, "bulk_tags": BULK_TAGS}
    whole = view.but(columns=context["keys"], limit=DEFAULT_LIMIT, group="").address
    context["exports"] = [(name.upper(), reverse(f"export-{name}") + whole) for name in FORMATS]
    context["rows_address"] = reverse("rows") + view.address
    return render(request, "listing/runs.html", context)


@require_safe
@never_cache
@gzip_page
def rows(request: HttpRequest) -> HttpResponseBase:
    """``{"available": true, "table": HTML, "shown": "3 runs"}``: the rows of the list with this query string, with an
    ETag.
    """
    try:
        found = content(View.read(request.GET), reader_of(request).hidden)
    except ViewError as error:
        return unreadable(error)
    parts = {name: render_to_string(f"listing/{name}.html", found).strip() for name in ("table", "shown")}
    etag = f'"{hashlib.blake2b("".join(parts.values()).encode(), digest_size=16).hexdigest()}"'
    response = JsonResponse({"available": True, **parts}, headers={"ETag": etag})
    return get_conditional_response(request, etag, response=response) or response


@require_safe
def pick(request: HttpRequest) -> HttpResponse:
    """Redirect the list's form, ``?run=ID&run=ID``, to the comparison of these runs."""
    chosen = list(dict.fromkeys(request.GET.getlist("run")))
    if not FEWEST_COMPARED <= len(chosen) <= MOST_COMPARED:
        what = f"Choose {FEWEST_COMPARED} to {MOST_COMPARED} runs"
        context = {
            "status": 400,
            "what": what,
            "advice": "Go back to the list and tick runs in the first column.",
        }
        return render(request, "webapp/error.html", context, status=400)
    query = QueryDict(mutable=True)
    query["runs"] = ",".join(chosen)
    return HttpResponseRedirect(f"/compare/?{query.urlencode(safe=',')}")


def content(view: View, hidden: frozenset[str]) -> dict[str, Any]:
    """Template variables of the table: rows or groups of rows, columns, and links to the adjacent pages."""
    found = _grouped(view, hidden) if view.group else _listed(view, hidden)
    return {**found, "backfills": list(Backfill.objects.filter(finished_at=None, to_warm__gt=0).order_by("name"))}


def _listed(view: View, hidden: frozenset[str]) -> dict[str, Any]:
    folded = is_folded(hidden) if folds(view) else None
    page = find(view.query, view.sort, view.limit, view.cursor, hidden=hidden, leave_out=folded)
    listed = [*page.pinned, *page.runs]
    run_ids = [run.run.run_id for run in listed]
    family = Nested.of(run_ids, view.opened, hidden) if folded else Nested()
    counts = count_keys(listed)
    keys = view.columns if view.columns is not None else choose_keys(counts)
    columns, now, numbers = shown(keys), timezone.now(), Numbers.of(keys)
    runs = {run.run.run_id: run for run in numbers.measured([*listed, *family.runs()])}
    table = Rows(runs, columns, view, now, family)
    rows = [table.row(run_id) for run_id in run_ids]
    return {
        "view": view,
        "keys": keys,
        "columns": columns,
        "offered": offered_keys(counts, keys),
        "count": len(listed),
        "nested": sum(row.nested for row in rows),
        "example": example([row.listed for row in rows], keys),
        "pinned": rows[: len(page.pinned)],
        "rows": rows[len(page.pinned) :],
        "next": view.but(cursor=page.next).address if page.next else "",
        "previous": view.but(cursor=page.previous).address if page.previous else "",
        "first": view.but().address or reverse("runs"),
    }


def _grouped(view: View, hidden: frozenset[str]) -> dict[str, Any]:
    counts = count_keys(find(view.query, view.sort, view.limit, hidden=hidden).runs)
    keys = view.columns if view.columns is not None else choose_keys(counts)
    columns, now, best = shown(keys), timezone.now(), Best.of(view.sort, keys)
    found = groups(view, best, keys, hidden)
    return {
        "view": view,
        "keys": keys,
        "columns": columns,
        "offered": offered_keys(counts, keys),
        "count": sum(len(group.runs) for group in found),
        "best": best and f"{'lowest' if best.lowest else 'highest'} {best.metric}",
        "groups": [
            {
                "value": group.condition.value if group.condition else None,
                "count": group.count,
                "best": number(group.best) if best else "",
                "rows": [Row.of(run, columns, view, now) for run in group.runs],
                "address": view.with_(group.condition).but(group="").address if group.condition else "",
            }
            for group in found
        ],
    }


def _unreadable(request: HttpRequest, error: ViewError) -> HttpResponse:
    """The page with the error of the query string, and with all its valid parts."""
    text = request.GET.get("q", "")
    context: Mapping[str, Any] = {
        **toolbar(_readable(request.GET), (), (), text),
        "error": error,
        "at": error.cause if isinstance(error.cause, QueryError) else None,
    }
    return render(request, "listing/runs.html", context, status=400)


def _readable(address: QueryDict) -> View:
    left = address.copy()
    while True:
        try:
            return View.read(left)
        except ViewError as error:
            del left[error.parameter]
