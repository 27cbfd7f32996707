"""Completion as JSON."""

from __future__ import annotations

from dataclasses import asdict

from django.http import HttpRequest, HttpResponse, JsonResponse

from webapp.api.operation import Operation, describes
from webapp.api.parameters import BadRequest, Parameter, within
from webapp.api.reading import NO_STORE, reading
from webapp.api.shapes import Completion
from webapp.listing.complete.suggest import complete
from webapp.listing.query import LONGEST
from webapp.visibility.reader import reader_of


def _text(text: str) -> str:
    """Raises ValueError if a query can't be so."""
    if len(text) > LONGEST:
        raise ValueError(f"a query has at most {LONGEST:,} characters")
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("invalid character")
    return text


Q = Parameter("q", "The query as it is typed.", {"type": "string", "maxLength": LONGEST}, _text, default="")
AT: Parameter[int] = Parameter(
    "at",
    "The cursor: the number of characters (code points) of q before it. Default: the end.",
    {"type": "integer", "minimum": 0, "maximum": LONGEST},
    within(0, LONGEST),
)


@describes(Operation("Complete a query while it is typed", Completion, [Q, AT]))
@reading
def completion(request: HttpRequest) -> HttpResponse:
    """``{"start": 0, "end": 2, "suggestions": [{"text": "param.lr", "label": "lr", "kind": "param", "runs": 3}]}``: the
    texts that may replace these characters.
    """
    text = Q.read(request)
    at: int | None = AT.read(request)
    if at is None:
        at = len(text)
    if at > len(text):
        raise BadRequest("at", f"{at} is beyond the end of q, which has {len(text)} characters")
    return JsonResponse(asdict(complete(text, at, reader_of(request).hidden)), headers=NO_STORE)
