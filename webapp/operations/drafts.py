"""A replay request between its preview and the click that sends it: the whole message, signed, in the form. Sent twice
it is the same message, and nobody can send another one than they were shown.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from django.core import signing

from warmboard.contract.cloudevents import EventError
from warmboard.contract.replay import ReplayRequest, Selection

GOOD_FOR = timedelta(hours=1)
SALT = "warmboard.replay"


class DraftError(Exception):
    """The form can't be sent; the text says why."""


def new_request(selection: Selection, requested_by: str, now: datetime) -> ReplayRequest:
    """With an ID of its own."""
    return ReplayRequest(id=uuid.uuid4().hex, time=now, selection=selection, requested_by=requested_by)


def sign(request: ReplayRequest) -> str:
    data, attributes = request.encode()
    return signing.dumps([data.decode(), attributes], salt=SALT, compress=True)


def unsign(text: str, requested_by: str) -> ReplayRequest:
    """Raises DraftError unless this person was shown it within GOOD_FOR."""
    try:
        data, attributes = signing.loads(text, salt=SALT, max_age=GOOD_FOR)
        request = ReplayRequest.decode(data.encode(), attributes)
    except signing.SignatureExpired:
        raise DraftError("This preview is more than an hour old. Look at a new one before you send it.") from None
    except (signing.BadSignature, EventError):
        raise DraftError("This is not a preview that Warmboard has shown.") from None
    if request.requested_by != requested_by:
        raise DraftError(f"This preview was shown to {request.requested_by}. Look at one of your own.")
    return request
