"""Who may read: whoever has signed in or, of the API, has a token; and, where the operator says so, requests from this
machine itself.
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

# Each says that the request came through a proxy, so that its peer address is not its origin's.
FORWARDED = ("HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_REAL_IP", "HTTP_VIA")


THEMES = ("light", "dark")
"""Those that a viewer can choose in place of the system's."""
UNAUTHENTICATED = "Sign in first, or send a token."
SAFE_METHODS = ("GET", "HEAD")
PAGES_OF_THE_API = ("/api/docs/",)
"""For people, although they are under /api/."""


class ApiAccessDenied(Exception):
    """The API is not for this request. ``response`` says so."""

    def __init__(self, status: int, error: str, challenge: str | None = None) -> None:
        super().__init__(error)
        headers = {"Cache-Control": "no-store"} | ({"WWW-Authenticate": challenge} if challenge else {})
        self.response = JsonResponse({"error": error}, status=status, headers=headers)


class AccessMiddleware(LoginRequiredMiddleware):
    """Every view needs a signed-in user unless it is marked ``login_not_required``."""

    def process_view(
        self, request: HttpRequest, view_func: Callable[..., Any], view_args: Any, view_kwargs: Any
    ) -> HttpResponseBase | None:
        if not getattr(view_func, "login_required", True):
            return None
        # Raises DisallowedHost, which is answered with 400: no other name may point a browser here.
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
    """The refusal of a request without a right, or of one too many; None for what may go on."""
    refused = None
    try:
        reader = _api_reader(request, view)
    except ApiAccessDenied as error:
        reader, refused = rate_limit.by_address(request), error.response
    standing = rate_limit.count(reader)
    request.standing = standing  # type: ignore[attr-defined]
    return (standing.refusal() if standing else None) or refused


def _api_reader(request: HttpRequest, view: Callable[..., Any]) -> str:
    """As whom the request counts. Raises ApiAccessDenied."""
    token = bearer(request)
    if token is not None:
        request.user = _user_of(token)
        if request.method not in SAFE_METHODS and not getattr(view, "only_reads", False):
            raise ApiAccessDenied(403, "A token reads; it changes nothing.")
    if _admit(request):
        return credential(request)
    if reads_from_loopback(request):
        return rate_limit.by_address(request)
    raise ApiAccessDenied(401, UNAUTHENTICATED, "Bearer")


def _admit(request: HttpRequest) -> bool:
    """Says who reads. Whether it is somebody with an account."""
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
    """Whether errors are answered in JSON."""
    return request.path.startswith("/api/") and request.path not in PAGES_OF_THE_API


def page_of(request: HttpRequest) -> str:
    """The page that the reader is at, on this host: the one asked for, or the one whose form is posted; the list of
    runs if the browser doesn't say which. Nothing is posted again after signing in.
    """
    if request.method in SAFE_METHODS:
        return request.get_full_path()
    came_from = request.META.get("HTTP_REFERER", "")
    if not url_has_allowed_host_and_scheme(came_from, {request.get_host()}):
        return reverse("runs")
    parts = urlsplit(came_from)
    return f"/{parts.path.lstrip('/')}" + (f"?{parts.query}" if parts.query else "")


def reads_from_loopback(request: HttpRequest) -> bool:
    """Whether WEBAPP_LOOPBACK_READ lets the request through. What headers claim can only close the door."""
    if not settings.LOOPBACK_READ or request.method not in SAFE_METHODS:
        return False
    if any(header in request.META for header in FORWARDED):
        return False
    return _is_loopback(request.META.get("REMOTE_ADDR", ""))


def reader(request: HttpRequest) -> dict[str, Any]:
    """Template variables: who reads, by which right, and in which theme."""
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
