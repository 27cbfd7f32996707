"""Authentication of every request: a session or, for the API, a token; and, where WEBAPP_LOOPBACK_READ allows it,
requests from this machine.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect, JsonResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from webapp.access import rate_limit
from webapp.access.readers import credential, readers
from webapp.accounts.backend import ADMINISTRATOR, role_of
from webapp.accounts.groups import Role
from webapp.tokens.bearer import BadToken, bearer, check
from webapp.visibility.reader import Reader

# Any of these means that the request came through a proxy, so its peer is not its origin.
FORWARDED = ("HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_REAL_IP", "HTTP_VIA")


THEMES = ("light", "dark")
"""Themes that a viewer can choose instead of the system's."""
UNAUTHENTICATED = "Unauthenticated. Sign in or send a token."
SAFE_METHODS = ("GET", "HEAD")
PAGES_OF_THE_API = ("/api/docs/",)
"""HTML pages under /api/."""


class ApiAccessDenied(Exception):
    """The request may not use the API. ``response`` is the error."""

    def __init__(self, status: int, error: str, challenge: str | None = None) -> None:
        super().__init__(error)
        headers = {"Cache-Control": "no-store"} | ({"WWW-Authenticate": challenge} if challenge else {})
        self.response = JsonResponse({"error": error}, status=status, headers=headers)


class AccessMiddleware(LoginRequiredMiddleware):
    """Requires a signed-in user for every view that is not marked ``login_not_required``."""

    def process_view(
        self, request: HttpRequest, view_func: Callable[..., Any], view_args: Any, view_kwargs: Any
    ) -> HttpResponseBase | None:
        if not getattr(view_func, "login_required", True):
            return None
        # Raises DisallowedHost (400): a browser may reach us only by the configured names.
        request.get_host()
        if is_api(request):
            return _enter_api(request, view_func)
        _admit(request)
        if reads_from_loopback(request):
            return None
        return super().process_view(request, view_func, view_args, view_kwargs)

    def handle_no_permission(self, request: HttpRequest, view_func: Callable[..., Any]) -> HttpResponseRedirect:
        return redirect_to_login(page_of(request))

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        standing: rate_limit.Standing | None = getattr(request, "standing", None)
        return standing.tell(response) if standing else response


def _enter_api(request: HttpRequest, view: Callable[..., Any]) -> HttpResponseBase | None:
    """The error response of a request that may not go on, or exceeds the rate limit; None for any other."""
    denied = None
    try:
        reader = _api_reader(request, view)
    except ApiAccessDenied as error:
        reader, denied = rate_limit.by_address(request), error.response
    standing = rate_limit.count(reader)
    request.standing = standing  # type: ignore[attr-defined]
    return (standing.refusal() if standing else None) or denied


def _api_reader(request: HttpRequest, view: Callable[..., Any]) -> str:
    """The name under which the request is counted. Raises ApiAccessDenied."""
    token = bearer(request)
    if token is not None:
        request.user = _user_of(token)
        if request.method not in SAFE_METHODS and not getattr(view, "only_reads", False):
            raise ApiAccessDenied(403, "Tokens are read-only.")
    if _admit(request):
        return credential(request)
    if reads_from_loopback(request):
        return rate_limit.by_address(request)
    raise ApiAccessDenied(401, UNAUTHENTICATED, "Bearer")


def _admit(request: HttpRequest) -> bool:
    """Set ``request.reader``. Returns whether the user is signed in."""
    request.reader = reader = Reader(request.user)  # type: ignore[attr-defined]
    if not request.user.is_authenticated:
        return False
    readers.remember(request, reader)
    return True


def _user_of(token: str) -> Any:
    """Raises ApiAccessDenied."""
    try:
        return check(token).user
    except BadToken as error:
        raise ApiAccessDenied(401, str(error), f'Bearer error="invalid_token", error_description="{error}"') from None


def not_signed_in() -> JsonResponse:
    return ApiAccessDenied(401, UNAUTHENTICATED, "Bearer").response


def is_api(request: HttpRequest) -> bool:
    """Whether errors are sent as JSON."""
    return request.path.startswith("/api/") and request.path not in PAGES_OF_THE_API


def page_of(request: HttpRequest) -> str:
    """The address of the user's current page on this host: the requested page or, for a POST, the page with the form
    (the list of runs if the browser sends no referrer). Used after signing in, when nothing is posted again.
    """
    if request.method in SAFE_METHODS:
        return request.get_full_path()
    came_from = request.META.get("HTTP_REFERER", "")
    if not url_has_allowed_host_and_scheme(came_from, {request.get_host()}):
        return reverse("runs")
    parts = urlsplit(came_from)
    return f"/{parts.path.lstrip('/')}" + (f"?{parts.query}" if parts.query else "")


def reads_from_loopback(request: HttpRequest) -> bool:
    """Whether WEBAPP_LOOPBACK_READ admits the request. Headers can only deny it, never allow it."""
    if not settings.LOOPBACK_READ or request.method not in SAFE_METHODS:
        return False
    if any(header in request.META for header in FORWARDED):
        return False
    return _is_loopback(request.META.get("REMOTE_ADDR", ""))


def reader(request: HttpRequest) -> dict[str, Any]:
    """Template variables: the user, their role and theme."""
    user = getattr(request, "user", None)
    name = user.get_username() if user is not None and user.is_authenticated else ""
    role, loopback = role_of(user), not name and reads_from_loopback(request)
    return {
        "reader_name": name,
        "reader_role": role,
        "loopback_read": loopback,
        "sees_operations": loopback or role in (Role.OPERATOR, ADMINISTRATOR),
        "flower_url": settings.FLOWER_URL,
        "theme": theme if (theme := request.COOKIES.get("theme")) in THEMES else "",
    }


@lru_cache(256)
def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
