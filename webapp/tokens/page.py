"""The page where users create and revoke their tokens."""

from __future__ import annotations

from django import forms
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from webapp.accounts import audit
from webapp.tokens.models import Token

MOST = 50
"""Max tokens of a user."""
LIFETIMES = {"30": "30 days", "90": "90 days", "365": "1 year", "": "no expiration"}


class NewToken(forms.Form):
    name = forms.CharField(max_length=100, error_messages={"required": "Missing token name."})
    days = forms.ChoiceField(choices=list(LIFETIMES.items()), required=False)


# A reader on loopback without an account has no tokens.
@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def tokens(request: HttpRequest) -> HttpResponseBase:
    """List the user's tokens. A new one is shown once, in the response to its form."""
    form = NewToken(request.POST if request.method == "POST" else None)
    if not form.is_bound:
        return _page(request, form)
    if form.is_valid() and _tokens(request).count() >= MOST:
        form.add_error(None, f"You have {MOST} tokens, the maximum; revoke one first.")
    if not form.is_valid():
        return _page(request, form, status=400)
    days = form.cleaned_data["days"]
    token, text = Token.create(_user(request), form.cleaned_data["name"], int(days) if days else None)
    audit.record(request, "make token", str(token), LIFETIMES[days])
    return _page(request, NewToken(), token, text)


@login_required
@require_POST
def revoke(request: HttpRequest, token_id: int) -> HttpResponseBase:
    """Revoke a token; 404 if it is another user's."""
    token = get_object_or_404(_tokens(request), pk=token_id)
    token.revoke()
    audit.record(request, "revoke token", str(token))
    return redirect("tokens")


def _page(
    request: HttpRequest, form: NewToken, fresh: Token | None = None, text: str = "", status: int = 200
) -> HttpResponse:
    listed = _tokens(request).order_by("-created_at", "-pk")
    context = {"form": form, "fresh": fresh, "text": text, "tokens": listed, "lifetimes": LIFETIMES}
    return render(request, "tokens/tokens.html", context, status=status)


def _tokens(request: HttpRequest) -> QuerySet[Token]:
    """The user's tokens that are not revoked."""
    return Token.objects.filter(user=_user(request), revoked_at=None)


def _user(request: HttpRequest) -> User:
    if not isinstance(request.user, User):
        raise TypeError("unauthenticated")
    return request.user
