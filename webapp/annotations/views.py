"""Change annotations: of one run by its page's form or by JSON, of many by the list's buttons."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from functools import wraps
from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from store.models import Run
from warmboard.contract.cloudevents import format_time
from webapp.access.middleware import is_api, page_of
from webapp.accounts import audit
from webapp.annotations.change import Change, ChangeError, read_tags
from webapp.annotations.models import Annotation
from webapp.api import shapes
from webapp.api.operation import Operation, describes
from webapp.api.reading import NO_STORE
from webapp.visibility.reader import reader_of, visible

PERMISSION = "annotations.change_annotation"
MAY_ONLY_READ = "Your account may read annotations, not change them."
ADVICE = f"It lacks the permission {PERMISSION}. An administrator can grant it."
NAMES_OF_TYPES: dict[type, str] = {str: "string", bool: "boolean", dict: "object"}
View = Callable[..., HttpResponse]
BULK: dict[str, Callable[[str], Change]] = {
    "pin": lambda _: Change(pinned=True),
    "unpin": lambda _: Change(pinned=False),
    "archive": lambda _: Change(archived=True),
    "restore": lambda _: Change(archived=False),
    "tag": lambda text: Change(tags=_some(read_tags(text))),
    "untag": lambda text: Change(untag=_some(read_tags(text)).keys()),
}


def may_annotate(request: HttpRequest) -> bool:
    return request.user.has_perm(PERMISSION)


def changing(view: View) -> View:
    """Allow only POST by users with the permission, and answer an invalid change with 400."""

    @require_POST
    @wraps(view)
    def answer(request: HttpRequest, **parts: Any) -> HttpResponse:
        if not may_annotate(request):
            return _error(request, 403, MAY_ONLY_READ, ADVICE)
        try:
            return view(request, **parts)
        except ChangeError as error:
            advice = "Nothing was changed." if is_api(request) else "Nothing was changed. Go back and try again."
            return _error(request, 400, str(error), advice)

    return answer


@changing
def change_many(request: HttpRequest, action: str) -> HttpResponse:
    """``run`` names each run, ``tags`` the tags for ``tag`` and ``untag``. Redirects to the list."""
    if action not in BULK:
        raise ChangeError("action", f"unknown action {action!r}; use {', '.join(BULK)}")
    change = BULK[action](request.POST.get("tags", ""))
    _make(request, change, set(request.POST.getlist("run")), action)
    return HttpResponseRedirect(page_of(request), status=303)


@changing
def change_one(request: HttpRequest, run_id: str) -> HttpResponse:
    """The form of a run's page: the whole annotation."""
    form = request.POST
    change = Change(
        note=form.get("note", "").replace("\r\n", "\n"),
        pinned="pinned" in form,
        archived="archived" in form,
        tags=read_tags(form.get("tags", "")),
        instead=True,
    )
    _make(request, change, [run_id], "annotate")
    return HttpResponseRedirect(reverse("run", args=[run_id]), status=303)


@describes(Operation("Annotation of a run", shapes.Annotation))
@describes(
    Operation(
        "Change the annotation of a run", shapes.Annotation, body=shapes.AnnotationChange, errors={403: MAY_ONLY_READ}
    ),
    "post",
)
@require_http_methods(["GET", "HEAD", "POST"])
def annotation_json(request: HttpRequest, run_id: str) -> HttpResponse:
    """GET returns the annotation. POST changes it by any of ``{"note": text, "pinned": bool, "archived": bool, "tags":
    {name: value}}``, where ``tags`` replace all tags, and returns it.
    """
    if not visible(Run.objects.filter(pk=run_id), reader_of(request).hidden).exists():
        return _error(request, 404, f"No event has announced a run {run_id}.", "")
    return (
        _read_by_json(request, run_id) if request.method in ("GET", "HEAD") else _change_by_json(request, run_id=run_id)
    )


def _read_by_json(request: HttpRequest, run_id: str) -> HttpResponse:
    return JsonResponse(annotation_document(annotation_of(run_id)), headers=NO_STORE)


@changing
def _change_by_json(request: HttpRequest, run_id: str) -> HttpResponse:
    _make(request, _read_json(request), [run_id], "annotate")
    return _read_by_json(request, run_id)


def _make(request: HttpRequest, change: Change, run_ids: Collection[str], action: str) -> None:
    """Apply the change and record it in the audit log. Raises ChangeError."""
    with transaction.atomic():
        change.make(run_ids, request.user.get_username(), reader_of(request).hidden)
        named = sorted(run_ids)
        target = f"run {named[0]}" if len(named) == 1 else f"{len(named):,} runs"
        runs = f" ({', '.join(named)})" if len(named) > 1 else ""
        audit.record(request, action, target, f"{change}{runs}")


def annotation_of(run_id: str) -> Annotation | None:
    return Annotation.objects.prefetch_related("tags").filter(pk=run_id).first()


def annotation_document(annotation: Annotation | None) -> dict[str, Any]:
    """The annotation as JSON; of the same shape if there is none."""
    return {
        "tags": {tag.name: tag.value for tag in annotation.tags.all()} if annotation else {},
        "note": annotation.note if annotation else "",
        "pinned": bool(annotation and annotation.pinned),
        "archived": bool(annotation and annotation.archived),
        "changed_by": annotation.changed_by if annotation else None,
        "changed_at": format_time(annotation.changed_at) if annotation else None,
    }


def _read_json(request: HttpRequest) -> Change:
    """Raises ChangeError."""
    try:
        document = json.loads(request.body)
    except (ValueError, RecursionError):
        raise ChangeError("body", "is not JSON") from None
    kinds = {"note": str, "pinned": bool, "archived": bool, "tags": dict}
    if not isinstance(document, dict) or not document or document.keys() - kinds:
        raise ChangeError("body", f"must be an object with any of {', '.join(kinds)}")
    for name, value in document.items():
        if not isinstance(value, kinds[name]):
            raise ChangeError(name, f"must be a {NAMES_OF_TYPES[kinds[name]]}")
    if not all(isinstance(value, str) for value in document.get("tags", {}).values()):
        raise ChangeError("tags", "values must be strings; a plain label has an empty one")
    return Change(**document, instead="tags" in document)


def _some(tags: dict[str, str]) -> dict[str, str]:
    if not tags:
        raise ChangeError("tags", "no tags: use name=value or plain labels, separated by commas")
    return tags


def _error(request: HttpRequest, status: int, what: str, advice: str) -> HttpResponse:
    if is_api(request):
        sentences = [f"{text.rstrip('.')}." for text in (what, advice) if text]
        return JsonResponse({"error": " ".join(sentences)}, status=status, headers=NO_STORE)
    return render(request, "webapp/error.html", {"status": status, "what": what, "advice": advice}, status=status)
