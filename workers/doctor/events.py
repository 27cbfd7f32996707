"""The inbox: what waits, since when, what failed and why."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Min
from django.utils import timezone

from store.models import InboxEvent
from workers.doctor.finding import Findings, failure, ok, warning

SUBJECT = "inbox"
State = InboxEvent.State
LATE = timedelta(seconds=60)
"""The sweep queues overdue events every SWEEP_SECONDS; if one waits longer, no sweep runs."""
OLD = timedelta(minutes=15)
SAMPLE = 1000
"""The number of events, the newest ones, whose reasons are counted."""
VARIES = re.compile(r"\b[0-9a-f]{16,}\b|\d+(\.\d+)?")
LONGEST = 200
"""Characters of a reason."""


def look(_: Any) -> Findings:
    now = timezone.now()
    found = [*_unfinished(now), *_failed(), *_unreadable()]
    yield from found or [ok(SUBJECT, "nothing waits, and nothing failed")]


def _unfinished(now: datetime) -> Findings:
    unfinished = InboxEvent.objects.filter(state__in=[State.PENDING, State.WARMING])
    if overdue := unfinished.filter(due_at__lt=now - LATE).count():
        text = f"{overdue} unfinished events should have been queued more than a minute ago: no sweep runs"
        yield failure(SUBJECT, text, "Start beat: `python -m workers beat`. If it runs, its log has the reason.")
    oldest = unfinished.aggregate(oldest=Min("received_at"))["oldest"]
    if oldest is None:
        return
    text = f"{unfinished.count()} events are unfinished, the oldest of {oldest:%Y-%m-%d %H:%M} UTC"
    if now - oldest > OLD:
        yield warning(SUBJECT, text, "More workers, or a longer look at their logs: `python -m workers worker`.")
    else:
        yield ok(SUBJECT, text)


def _failed() -> Findings:
    if count := _count(State.FAILED):
        text = f"{count} events failed and are parked; most often: {_commonest(State.FAILED)}"
        yield warning(SUBJECT, text, "Fix the cause, then warm them again: `python -m workers replay --failed`.")


def _unreadable() -> Findings:
    if count := _count(State.UNREADABLE):
        text = f"{count} messages are not events; most often: {_commonest(State.UNREADABLE)}"
        yield warning(SUBJECT, text, "Correct their sender; docs/reference/events.md has the format.")


def _count(state: State) -> int:
    return InboxEvent.objects.filter(state=state).count()


def _commonest(state: State) -> str:
    """The commonest reason of the newest events; reasons that differ in an ID or a number count as one."""
    newest = InboxEvent.objects.filter(state=state).order_by("-received_at")
    reasons = list(newest.values_list("reason", flat=True)[:SAMPLE])
    kinds = Counter(VARIES.sub("…", reason[:LONGEST]) for reason in reasons)
    [(kind, count)] = kinds.most_common(1)
    shown = next(reason for reason in reasons if VARIES.sub("…", reason[:LONGEST]) == kind)[:LONGEST]
    return f"{shown} ({count} of the newest {len(reasons)})"
