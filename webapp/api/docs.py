"""The OpenAPI document as JSON, and as a page."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe

from store.models import Run
from warmboard.contract.entries import SCHEMA_VERSION
from webapp.api.document import document
from webapp.api.operation import Operation, describes
from webapp.api.reading import reading
from webapp.api.reference import Reference
from webapp.visibility.reader import reader_of, visible


@describes(Operation("This description, in OpenAPI 3.1", dict[str, Any], group="About"))
@reading
@gzip_page
def openapi(request: HttpRequest) -> HttpResponse:
    return JsonResponse(document(), headers={"Cache-Control": "private, max-age=300"})


@require_safe
@never_cache
@gzip_page
def docs(request: HttpRequest) -> HttpResponse:
    """Every operation, with examples that name a run the reader can see."""
    warm = Run.objects.filter(schema_version=SCHEMA_VERSION).order_by("-announced_at", "-run_id")
    run_id = visible(warm, reader_of(request).hidden).values_list("run_id", flat=True).first() or "RUN_ID"
    reference = Reference(document(), request.build_absolute_uri("/").rstrip("/"), run_id)
    return render(request, "api/docs.html", {"reference": reference})


docs.is_page = True  # type: ignore[attr-defined]
