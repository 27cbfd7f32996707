"""The security headers of every response. They are constant, so they are built once."""

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
"""Values of Sec-Fetch-Site for typed addresses, bookmarks, links in other programs and links on our own pages."""
View = Callable[..., HttpResponseBase]


class SecurityHeadersMiddleware(SecurityMiddleware):
    """Django's SecurityMiddleware (redirects to HTTPS where that is set), with its headers, X-Frame-Options and the
    content security policy built at startup. The three middlewares that compute them for every response took a third
    of the time of a read of a stored body.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        super().__init__(get_response)
        self._respond: Callable[[HttpRequest], HttpResponseBase] = get_response
        self._plain = list(_headers().items())
        self._strict = _strict_transport()

    def __call__(self, request: HttpRequest) -> Any:
        # SecurityMiddleware acts on requests only where HTTPS is required.
        to_https = self.process_request(request) if self.redirect else None
        response = to_https or self._respond(request)
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
    """Send a read-only page without Cross-Origin-Opener-Policy, unless another site linked to it.

    The policy makes the browser drop its process and start another, which delays the page by 35 ms. Without the policy,
    a site that opened a window keeps its handle if the user types the address of such a page there: it can navigate the
    window elsewhere, as before, and reads nothing.
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
