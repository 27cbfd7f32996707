"""The short way to a stored body: past sessions, forms and static files, which have no part in it."""

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
"""A body's address is shorter. What anybody makes up must not fill the memory."""
View = Callable[..., HttpResponseBase]


class FastPathMiddleware:
    """Calls a view of ``api.reading_bodies`` itself when the reader's right to it is already known.

    Whoever has still to be asked who they are, and everything that is no read of a stored body, goes the whole way.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._whole_way = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        path = request.path_info
        if request.method not in ("GET", "HEAD") or not path.startswith("/api/") or len(path) > LONGEST:
            return self._whole_way(request)
        found = _view_at(path, settings.ROOT_URLCONF)
        known = _known_reader(request) if found else None
        if found is None or known is None:
            return self._whole_way(request)
        # Raises DisallowedHost, which is answered with 400: no other name may point a browser here.
        request.get_host()
        view, parts = found
        counted_as, request.reader = known  # type: ignore[attr-defined]
        standing = rate_limit.count(counted_as)
        if standing is None:
            return view(request, **parts)
        refusal = standing.refusal()
        return standing.tell(refusal) if refusal else standing.tell_briefly(view(request, **parts))


def _known_reader(request: HttpRequest) -> tuple[str, Reader] | None:
    """As whom the request counts, and who reads; None for whoever has still to be asked."""
    found = credential(request)
    if reader := readers.known(found):
        return found, reader
    # Who sends a token is told what is wrong with it, from wherever; who has a session may see more than anybody.
    if not found and "HTTP_AUTHORIZATION" not in request.META and reads_from_loopback(request):
        return rate_limit.by_address(request), readers.anybody()
    return None


@lru_cache(ADDRESSES_REMEMBERED)
def _view_at(path: str, urlconf: str) -> tuple[View, dict[str, Any]] | None:
    """The view of stored bodies at this address, and the parts of the address; None for anything else."""
    try:
        match = resolve(path, urlconf)
    except Resolver404:
        return None
    return (match.func, match.kwargs) if getattr(match.func, "reads_bodies", False) else None
