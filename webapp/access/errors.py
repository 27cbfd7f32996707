"""Errors that no view answers: JSON under /api/, a small page elsewhere."""

from __future__ import annotations

import sys

from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import is_valid_path

from webapp.access.middleware import is_api
from webapp.access.rights import NeedsRole
from webapp.accounts.backend import role_of


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    # The host name may be what is wrong, so nothing here may ask for it.
    message = "This request can't be understood."
    return JsonResponse({"error": message}, status=400) if is_api(request) else HttpResponse(message, status=400)


def forbidden(request: HttpRequest, exception: Exception | None = None, reason: str = "") -> HttpResponseBase:
    if isinstance(exception, NeedsRole):
        who = request.user.get_username()
        role = role_of(request.user)
        groups = f"in the group {role}" if role else "in no group"
        advice = (
            f"You are signed in as {who}, {groups}. Whoever runs Warmboard can put you into it: "
            f"python -m webapp manage account {who} --group {exception.role}"
        )
        return _error(request, 403, str(exception), advice)
    advice = "Go back, reload the page and try again. If you have been signed out meanwhile, sign in first."
    return _error(request, 403, "This is not allowed.", advice)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    path = request.path_info
    if request.method in ("GET", "HEAD") and not path.endswith("/") and is_valid_path(f"{path}/"):
        query = request.META.get("QUERY_STRING", "")
        # One slash in front: two would name another host.
        return HttpResponseRedirect(f"/{path.lstrip('/')}/" + (f"?{query}" if query else ""), status=308)
    return _error(request, 404, "There is nothing at this address.", "The list of runs is a good place to start.")


def server_error(request: HttpRequest) -> HttpResponseBase:
    """503 when it was the database that is away, 500 for anything else."""
    away = isinstance(sys.exception(), OperationalError)
    status = 503 if away else 500
    what = "The database is away." if away else "Something went wrong here."
    if is_api(request):
        return JsonResponse({"error": what}, status=status)
    # Without the request: what a page says about its reader may be what failed.
    context = {"status": status, "what": what, "advice": "It has been logged. Try again in a moment."}
    return HttpResponse(render_to_string("webapp/error.html", context), status=status)


def _error(request: HttpRequest, status: int, what: str, advice: str) -> HttpResponseBase:
    if is_api(request):
        return JsonResponse({"error": what}, status=status)
    return render(request, "webapp/error.html", {"status": status, "what": what, "advice": advice}, status=status)
