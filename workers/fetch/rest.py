"""How long a server wants to be left alone: the header Retry-After of its answer."""

from __future__ import annotations

from collections.abc import Mapping

from urllib3 import Retry
from urllib3.exceptions import InvalidHeader

LONGEST_SECONDS = 300.0
ASKING_FOR_IT = (429, 503)
"""Statuses with which HTTP has the header, of those after which a request may be repeated."""


def rest_of(status: int, headers: Mapping[str, str]) -> float:
    """The time in seconds, from a number of seconds or a date; at most LONGEST_SECONDS, 0 if there is none."""
    value = headers.get("Retry-After", "") if status in ASKING_FOR_IT else ""
    try:
        return max(0.0, min(Retry().parse_retry_after(value), LONGEST_SECONDS))
    except (InvalidHeader, ValueError, OverflowError):
        return 0.0
