"""What every answer tells the browser to refuse. The same words each time, so they are put together once."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from csp.utils import build_policy
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.security import SecurityMiddleware

OPENER = "Cross-Origin-Opener-Policy"
LED_BY_NO_OTHER_SITE = ("none", "same-origin")
"""Sec-Fetch-Site of what somebody typed, had bookmarked, or followed from another program or from a page of ours."""
View = Callable[..., HttpResponseBase]


class SecurityHeadersMiddleware(SecurityMiddleware):
    """Django's SecurityMiddleware (HTTPS only, where that is set), with its headers, X-Frame-Options and the content
    security policy made up at the start: three middlewares that compute them for every answer cost a read of a stored
    body a third of its time.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        super().__init__(get_response)
        self._respond: Callable[[HttpRequest], HttpResponseBase] = get_response
        self._plain = list(_headers().items())
        self._strict = _strict_transport()

    def __call__(self, request: HttpRequest) -> Any:
        # Only where HTTPS is demanded has SecurityMiddleware anything to say to a request.
        refused = self.process_request(request) if self.redirect else None
        response = refused or self._respond(request)
        headers = response.headers
        for name, value in self._plain:
            headers[name] = value
        if (
            getattr(response, "keeps_process", False)
            and request.META.get("HTTP_SEC_FETCH_SITE") in LED_BY_NO_OTHER_SITE
        ):
            del headers[OPENER]
        if self._strict and request.is_secure():
            headers["Strict-Transport-Security"] = self._strict
        return response


def keeps_process(view: View) -> View:
    """For pages that only show: sent without Cross-Origin-Opener-Policy unless another site has led to them.

    The policy takes a window away from the site that opened it. For that the browser ends the process it has begun and
    begins another, 35 ms before it reads the page. Without it, a site that has opened a window keeps it if somebody
    types the address of such a page there: it can lead the window elsewhere, as it could before, and reads nothing.
    """

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **parts: Any) -> HttpResponseBase:
        response = view(request, *args, **parts)
        response.keeps_process = True  # type: ignore[attr-defined]
        return response

    return answer


def _headers() -> dict[str, str]:
    return {
        "Content-Security-Policy": build_policy(),
        OPENER: settings.SECURE_CROSS_ORIGIN_OPENER_POLICY,
        "Referrer-Policy": settings.SECURE_REFERRER_POLICY,
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": settings.X_FRAME_OPTIONS,
    }


def _strict_transport() -> str:
    subdomains = "; includeSubDomains" if settings.SECURE_HSTS_INCLUDE_SUBDOMAINS else ""
    return f"max-age={settings.SECURE_HSTS_SECONDS}{subdomains}" if settings.SECURE_HSTS_SECONDS else ""
