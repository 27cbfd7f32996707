"""Who may read: whoever has signed in and, where the operator says so, requests from this machine itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

from django.conf import settings
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.http import HttpRequest, HttpResponseBase, JsonResponse

from webapp.accounts.backend import ADMINISTRATOR, role_of
from webapp.accounts.groups import Role
from webapp.readers import readers

# Each says that the request came through a proxy, so that its peer address is not its origin's.
FORWARDED = ("HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_REAL_IP", "HTTP_VIA")


class AccessMiddleware(LoginRequiredMiddleware):
    """Every view needs a signed-in user unless it is marked ``login_not_required``."""

    def process_view(
        self, request: HttpRequest, view_func: Callable[..., Any], view_args: Any, view_kwargs: Any
    ) -> HttpResponseBase | None:
        if not getattr(view_func, "login_required", True):
            return None
        # Raises DisallowedHost, which is answered with 400: no other name may point a browser here.
        request.get_host()
        if reads_from_loopback(request):
            return None
        if request.user.is_authenticated:
            readers.remember(request)
        elif is_api(request):
            return not_signed_in()
        return super().process_view(request, view_func, view_args, view_kwargs)


def not_signed_in() -> JsonResponse:
    return JsonResponse({"error": "Sign in first."}, status=401, headers={"Cache-Control": "no-store"})


def is_api(request: HttpRequest) -> bool:
    """Whether errors are answered in JSON."""
    return request.path.startswith("/api/")


def reads_from_loopback(request: HttpRequest) -> bool:
    """Whether WEBAPP_LOOPBACK_READ lets the request through. What headers claim can only close the door."""
    if not settings.LOOPBACK_READ or request.method not in ("GET", "HEAD"):
        return False
    if any(header in request.META for header in FORWARDED):
        return False
    return _is_loopback(request.META.get("REMOTE_ADDR", ""))


def reader(request: HttpRequest) -> dict[str, Any]:
    """Template variables: who reads, and by which right."""
    user = getattr(request, "user", None)
    name = user.get_username() if user is not None and user.is_authenticated else ""
    role, loopback = role_of(user), reads_from_loopback(request)
    return {
        "reader_name": name,
        "reader_role": role,
        "loopback_read": not name and loopback,
        "sees_operations": loopback or role in (Role.OPERATOR, ADMINISTRATOR),
        "flower_url": settings.FLOWER_URL,
    }


@lru_cache(256)
def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
