"""Error responses that no view makes: JSON under /api/, a small page elsewhere."""

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
    # The host name may be the problem, so nothing here may read it.
    message = "This request is malformed."
    return JsonResponse({"error": message}, status=400) if is_api(request) else HttpResponse(message, status=400)


def forbidden(request: HttpRequest, exception: Exception | None = None, reason: str = "") -> HttpResponseBase:
    if isinstance(exception, NeedsRole):
        who = request.user.get_username()
        role = role_of(request.user)
        groups = f"in the group {role}" if role else "in no group"
        advice = (
            f"You are signed in as {who}, {groups}. An administrator can change that: "
            f"python -m webapp manage account {who} --group {exception.role}"
        )
        return _error(request, 403, str(exception), advice)
    advice = "Go back, reload the page and try again. If your session has ended, sign in first."
    return _error(request, 403, "This request is not allowed.", advice)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    path = request.path_info
    if request.method in ("GET", "HEAD") and not path.endswith("/") and is_valid_path(f"{path}/"):
        query = request.META.get("QUERY_STRING", "")
        # Two slashes in front would name another host.
        return HttpResponseRedirect(f"/{path.lstrip('/')}/" + (f"?{query}" if query else ""), status=308)
    return _error(request, 404, "This page does not exist.", "Start from the list of runs.")


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Answer 503 if the database is down, 500 for any other error."""
    down = isinstance(sys.exception(), OperationalError)
    status = 503 if down else 500
    what = "The database is unreachable." if down else "Internal error."
    if is_api(request):
        return JsonResponse({"error": what}, status=status)
    # Rendered without the request: reading the user may be what failed.
    context = {"status": status, "what": what, "advice": "The error has been logged. Try again in a moment."}
    return HttpResponse(render_to_string("webapp/error.html", context), status=status)


def _error(request: HttpRequest, status: int, what: str, advice: str) -> HttpResponseBase:
    if is_api(request):
        return JsonResponse({"error": what}, status=status)
    return render(request, "webapp/error.html", {"status": status, "what": what, "advice": advice}, status=status)
