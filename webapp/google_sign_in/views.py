"""The two views of sign-in with Google. Both are 404 if it is not configured."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from webapp.accounts import throttle
from webapp.google_sign_in import protocol
from webapp.google_sign_in.accounts import account_of
from webapp.google_sign_in.protocol import SignInError

View = Callable[[HttpRequest], HttpResponseBase]
BACKEND = "webapp.accounts.backend.RoleBackend"
NEXT = "google_next"


def where_configured(view: View) -> View:
    @login_not_required
    @require_GET
    @never_cache
    @wraps(view)
    def answer(request: HttpRequest) -> HttpResponseBase:
        if not settings.GOOGLE_CLIENT_ID:
            raise Http404
        # Raises DisallowedHost: Google may redirect only to the configured names.
        request.get_host()
        return view(request)

    return answer


# The page has a link to this view, not a form: the policy's form-action applies to all redirects of a form, and an
# organisation may redirect its users from Google to its own sign-in. The view changes only the session.
@where_configured
def begin(request: HttpRequest) -> HttpResponseBase:
    """Redirect to Google. ``?next=`` is the address to open after signing in."""
    request.session[NEXT] = request.GET.get("next", "")
    return protocol.to_google(request)


@where_configured
def finish(request: HttpRequest) -> HttpResponseBase:
    """Handle Google's redirect back: sign the user in, or show the error."""
    address = throttle.address_of(request)
    who = f"Google at {address}"
    if throttle.exhausted(who, address):
        minutes = int(throttle.WINDOW.total_seconds() // 60)
        wait = SignInError(429, "Too many failed sign-ins from your address.", f"Try again in {minutes} minutes.")
        response = _error_page(request, wait)
        response.headers["Retry-After"] = str(minutes * 60)
        return response
    try:
        user = account_of(protocol.identity(request))
    except SignInError as error:
        # Any site can link here; only the failure of a sign-in started in this browser counts.
        if error.counts:
            throttle.failed(who, address)
        return _error_page(request, error)
    throttle.succeeded(who, address)
    wanted = request.session.pop(NEXT, "")
    login(request, user, BACKEND)
    allowed = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    return redirect(wanted if allowed else settings.LOGIN_REDIRECT_URL)


def _error_page(request: HttpRequest, error: SignInError) -> HttpResponse:
    context = {"status": error.status, "what": error.what, "advice": error.advice}
    return render(request, "webapp/error.html", context, status=error.status)
