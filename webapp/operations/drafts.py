"""A request between its preview and its confirmation: the whole message, signed, in a hidden field. Sending it
twice sends the same message, and a user can send only what they were shown.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TypeVar

from django.core import signing

from warmboard.contract.cloudevents import EventError
from warmboard.contract.replay import ReplayRequest, Selection
from warmboard.contract.subscription import SubscriptionRequest, Wish

GOOD_FOR = timedelta(hours=1)
SALT = "warmboard.replay"
AnyRequest = TypeVar("AnyRequest", ReplayRequest, SubscriptionRequest)


class DraftError(Exception):
    """The form is invalid; the text says why."""


def new_request(selection: Selection, requested_by: str, now: datetime) -> ReplayRequest:
    """A request with a new ID."""
    return ReplayRequest(id=uuid.uuid4().hex, time=now, selection=selection, requested_by=requested_by)


def new_wish(wish: Wish, requested_by: str, now: datetime) -> SubscriptionRequest:
    """A request about the subscription, with a new ID."""
    return SubscriptionRequest(id=uuid.uuid4().hex, time=now, wish=wish, requested_by=requested_by)


def sign(request: ReplayRequest | SubscriptionRequest) -> str:
    data, attributes = request.encode()
    return signing.dumps([data.decode(), attributes], salt=SALT, compress=True)


def unsign(text: str, requested_by: str, decode: Callable[[bytes, Mapping[str, str]], AnyRequest]) -> AnyRequest:
    """The request in the form. Raises DraftError unless this user was shown it within GOOD_FOR."""
    try:
        data, attributes = signing.loads(text, salt=SALT, max_age=GOOD_FOR)
        request = decode(data.encode(), attributes)
    except signing.SignatureExpired:
        raise DraftError("This preview is more than an hour old. Open a new one.") from None
    except (signing.BadSignature, EventError):
        raise DraftError("This is not a preview by Warmboard.") from None
    if request.requested_by != requested_by:
        raise DraftError(f"This preview was shown to {request.requested_by}. Open your own.")
    return request
