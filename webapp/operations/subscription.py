"""Requests about the subscription: a preview by GET, and the request by POST. A subscriber performs it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from store.recalled import OTHERS, recalled
from warmboard.contract.cloudevents import EventError
from warmboard.contract.subscription import Action, SubscriptionRequest, Wish
from webapp.access.rights import needs
from webapp.accounts import audit
from webapp.accounts.groups import REQUEST_REPLAY, Role
from webapp.api.parameters import BadRequest
from webapp.operations import drafts
from webapp.operations.filter import read_flag, read_text, read_time
from webapp.operations.publishing import PublishError, Topic
from webapp.operations.views import bad_request

TITLES = {
    Action.SEEK: "Seek the subscription?",
    Action.CREATE: "Make a snapshot?",
    Action.DELETE: "Delete the snapshot?",
}
BUTTONS = {Action.SEEK: "Seek", Action.CREATE: "Make the snapshot", Action.DELETE: "Delete the snapshot"}


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@needs(REQUEST_REPLAY, Role.OPERATOR)
def page(request: HttpRequest) -> HttpResponseBase:
    """GET previews the request; POST sends the previewed one."""
    who = request.user.get_username()
    try:
        if request.method == "POST":
            return _send(request, drafts.unsign(request.POST.get("request", ""), who, SubscriptionRequest.decode))
        return _preview(request, drafts.new_wish(read_wish(request.GET), who, timezone.now()))
    except (BadRequest, drafts.DraftError) as error:
        return bad_request(request, str(error))


def read_wish(query: QueryDict) -> Wish:
    """What to do with the subscription. Raises BadRequest."""
    action = query.get("action", "")
    if action not in list(Action):
        raise BadRequest("action", f"{action!r} is unknown", list(Action))
    to = read_time(query, "to")
    if to and to < datetime(1970, 1, 2, tzinfo=UTC):
        raise BadRequest("to", "is before 1970")
    try:
        return Wish(
            action=Action(action), to=to, snapshot=read_text(query, "snapshot") or None, drop=read_flag(query, "drop")
        )
    except EventError as error:
        raise BadRequest("request", str(error)) from None


def _send(request: HttpRequest, wanted: SubscriptionRequest) -> HttpResponseBase:
    action, detail = wanted.wish.action.replace("-", " "), f"request {wanted.id}"
    target = str(wanted.wish).removeprefix(f"{action} ")
    try:
        Topic.configured().publish(wanted)
    except PublishError as error:
        audit.record(request, action, target, detail, f"not confirmed: {error}")
        return _preview(request, wanted, unconfirmed=str(error))
    audit.record(request, action, target, detail, "sent")
    return redirect(f"{reverse('operations')}?replay={wanted.id}")


def _preview(request: HttpRequest, wanted: SubscriptionRequest, unconfirmed: str = "") -> HttpResponse:
    wish = wanted.wish
    context: dict[str, Any] = {
        "wish": wish,
        "title": TITLES[wish.action],
        "button": BUTTONS[wish.action],
        "known": recalled(wish) if wish.action is Action.SEEK else None,
        "others": OTHERS,
        "signed": drafts.sign(wanted),
        "unconfirmed": unconfirmed,
    }
    return render(request, "operations/subscription.html", context, status=503 if unconfirmed else 200)
