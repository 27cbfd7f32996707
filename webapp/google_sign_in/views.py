"""There and back: the two addresses of signing in with Google. Both are 404 where it is not configured."""

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
        # Raises DisallowedHost: no other name may have Google send people back to it.
        request.get_host()
        return view(request)

    return answer


# A link leads here and not a form: the policy's form-action holds for all that a form is led on to, and an organisation
# may send its people from Google to a sign-in of its own. Nothing is changed but the reader's session.
@where_configured
def begin(request: HttpRequest) -> HttpResponseBase:
    """Leads to Google; ``?next=`` is where to go in the end."""
    request.session[NEXT] = request.GET.get("next", "")
    return protocol.to_google(request)


@where_configured
def finish(request: HttpRequest) -> HttpResponseBase:
    """Where Google leads back to: signs in, or says why not."""
    address = throttle.address_of(request)
    who = f"Google at {address}"
    if throttle.exhausted(who, address):
        minutes = int(throttle.WINDOW.total_seconds() // 60)
        wait = SignInError(429, "Too many sign-ins from here have failed.", f"Try again in {minutes} minutes.")
        response = _refusal(request, wait)
        response.headers["Retry-After"] = str(minutes * 60)
        return response
    try:
        user = account_of(protocol.identity(request))
    except SignInError as refused:
        # Anybody's page can lead anybody here; only what a sign-in of this browser came to is somebody's failure.
        if refused.counts:
            throttle.failed(who, address)
        return _refusal(request, refused)
    throttle.succeeded(who, address)
    wanted = request.session.pop(NEXT, "")
    login(request, user, BACKEND)
    allowed = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    return redirect(wanted if allowed else settings.LOGIN_REDIRECT_URL)


def _refusal(request: HttpRequest, refused: SignInError) -> HttpResponse:
    context = {"status": refused.status, "what": refused.what, "advice": refused.advice}
    return render(request, "webapp/error.html", context, status=refused.status)
