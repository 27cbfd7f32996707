"""The fast path to a stored body: past the middleware of sessions, forms and static files, which it doesn't need."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import Resolver404, resolve

from webapp.access import rate_limit
from webapp.access.middleware import reads_from_loopback
from webapp.access.readers import credential, readers
from webapp.visibility.reader import Reader

ADDRESSES_REMEMBERED, LONGEST = 4096, 200
"""Characters. Addresses of bodies are shorter; made-up ones must not fill the memory."""
View = Callable[..., HttpResponseBase]


class FastPathMiddleware:
    """Calls a view of ``reading_bodies`` directly if the reader is in the cache.

    All other requests go through the rest of the middleware: readers that must be authenticated first, and anything but
    a read of a stored body.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._respond = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        path = request.path_info
        if request.method not in ("GET", "HEAD") or not path.startswith("/api/") or len(path) > LONGEST:
            return self._respond(request)
        found = _view_at(path, settings.ROOT_URLCONF)
        known = _known_reader(request) if found else None
        if found is None or known is None:
            return self._respond(request)
        # Raises DisallowedHost (400): a browser may reach us only by the configured names.
        request.get_host()
        view, parts, request.route = found  # type: ignore[attr-defined]
        counted_as, request.reader = known  # type: ignore[attr-defined]
        standing = rate_limit.count(counted_as)
        if standing is None:
            return view(request, **parts)
        refusal = standing.refusal()
        return standing.tell(refusal) if refusal else standing.tell_briefly(view(request, **parts))


def _known_reader(request: HttpRequest) -> tuple[str, Reader] | None:
    """The name under which the request is counted, and its reader; None if it must be authenticated first."""
    found = credential(request)
    if reader := readers.known(found):
        return found, reader
    # A bad token gets its error, also on loopback; a session may see more than loopback does.
    if not found and "HTTP_AUTHORIZATION" not in request.META and reads_from_loopback(request):
        return rate_limit.by_address(request), readers.anybody()
    return None


@lru_cache(ADDRESSES_REMEMBERED)
def _view_at(path: str, urlconf: str) -> tuple[View, dict[str, Any], str] | None:
    """The view of stored bodies at this address, with its arguments and its route; None for any other address."""
    try:
        match = resolve(path, urlconf)
    except Resolver404:
        return None
    return (match.func, match.kwargs, match.route) if getattr(match.func, "reads_bodies", False) else None
