"""The JSON of ``/api/operations/``, which the page shows in words.

It has times, not ages, so that it changes only when the inbox does, or when an event reaches another bar of the
histogram.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.cache import get_conditional_response

from store.models import Backfill, Snapshot
from warmboard.contract.cloudevents import EventError, format_time
from warmboard.contract.replay import REPLAY_REQUESTED, ReplayRequest
from warmboard.contract.subscription import SUBSCRIPTION_REQUESTED, SubscriptionRequest
from webapp.access.rights import needs
from webapp.accounts.groups import REQUEST_REPLAY, Role
from webapp.api.operation import Operation, describes
from webapp.api.reading import reading
from webapp.operations.filter import FILTER, Filter
from webapp.operations.health import redis_answers
from webapp.operations.overview import AGES, Listed, Overview, ServerDown, StateCount
from webapp.operations.shapes import Operations
from webapp.visibility.reader import reader_of

LONGEST_PAYLOAD = 20_000
"""Max characters of a payload that are shown. Our messages have a few hundred."""
REQUESTS: dict[str, type[ReplayRequest] | type[SubscriptionRequest]] = {
    REPLAY_REQUESTED: ReplayRequest,
    SUBSCRIPTION_REQUESTED: SubscriptionRequest,
}
NOT_IN_GROUP = {403: f"The account is not in the group `{Role.OPERATOR}`."}
reads_operations = needs(REQUEST_REPLAY, Role.OPERATOR, open_to_loopback=True)


@describes(Operation("Inbox: events by state and age", Operations, FILTER, "Operations", errors=NOT_IN_GROUP))
@reads_operations
@reading
def operations(request: HttpRequest) -> HttpResponse:
    """The inbox and the state of the programs that work on it, with an ETag."""
    response = as_json(Overview.find(Filter.read(request.GET), reader_of(request).hidden), redis_answers())
    answer: HttpResponse | None = get_conditional_response(request, etag=response["ETag"], response=response)
    return answer or response


def as_json(overview: Overview, redis_answers: bool) -> JsonResponse:
    response = JsonResponse(document(overview, redis_answers))
    response["ETag"] = f'"{hashlib.sha256(response.content).hexdigest()[:32]}"'
    response["Cache-Control"] = "private, no-cache"
    response["Vary"] = "Cookie"
    return response


def document(overview: Overview, redis_answers: bool) -> dict[str, Any]:
    pulse = overview.pulse
    return {
        "states": {count.state: _count(count) for count in overview.counts},
        "age_limits": list(AGES),
        "done_last_day": pulse.done_lately,
        "parts": {
            "database": "answers",
            "redis": "answers" if redis_answers else "away",
            "subscriber": {"newest_received_at": _time(pulse.received_at)},
            "workers": {"newest_claimed_at": _time(pulse.claimed_at), "in_flight": len(overview.in_flight)},
            "sweep": {"overdue": pulse.overdue},
            "tracking_servers": [_server(found) for found in overview.servers],
            "earlier_runs": [_earlier(found) for found in overview.backfills],
        },
        "in_flight": [in_flight(listed) for listed in overview.in_flight],
        "events": [event(listed) for listed in overview.events],
        "before": overview.before,
        "snapshots": [snapshot(found) for found in overview.snapshots],
    }


def _earlier(found: Backfill) -> dict[str, Any]:
    return {
        "name": found.name,
        "found": found.found,
        "experiments": found.experiments,
        "to_warm": found.to_warm,
        "done": found.done,
        "listed_at": _time(found.listed_at),
        "finished_at": _time(found.finished_at),
    }


def snapshot(found: Snapshot) -> dict[str, Any]:
    """One snapshot of the subscription."""
    return {"name": found.name, "oldest_at": _time(found.oldest_at), "expires_at": _time(found.expires_at)}


def in_flight(listed: Listed) -> dict[str, Any]:
    """One event that a worker is processing."""
    row = listed.event
    return {
        "id": row.pk,
        **_of_run(listed),
        "worker": row.claimed_by,
        "claimed_at": _time(row.claimed_at),
        "attempts": row.attempts,
    }


def event(listed: Listed) -> dict[str, Any]:
    """One row of the inbox, with its message."""
    row = listed.event
    return {
        "id": row.pk,
        "source": row.source,
        "event_id": row.event_id,
        "type": row.type,
        **_of_run(listed),
        "state": row.state,
        "reason": row.reason,
        "attempts": row.attempts,
        "happened_at": _time(row.happened_at),
        "published_at": _time(row.published_at),
        "received_at": _time(row.received_at),
        "claimed_at": _time(row.claimed_at),
        "claimed_by": row.claimed_by,
        "due_at": _time(row.due_at),
        "done_at": _time(row.done_at),
        "attributes": row.attributes,
        "payload": payload(listed.data, listed.size),
    }


def payload(data: bytes, size: int) -> str:
    """The data of a message of that size as text: JSON is indented, bytes that are not text are escaped."""
    try:
        text = json.dumps(json.loads(data), indent=2, ensure_ascii=False)
        # Unpaired surrogates, which JSON can escape and UTF-8 can't encode.
        text = text.encode(errors="backslashreplace").decode()
    except (ValueError, RecursionError):
        text = data.decode(errors="backslashreplace")
    whole = len(text) <= LONGEST_PAYLOAD and len(data) == size
    return text if whole else f"{text[:LONGEST_PAYLOAD]}… ({size:,} bytes)"


def request_in(listed: Listed) -> ReplayRequest | SubscriptionRequest | None:
    """The row's request; None if it has none."""
    kind = REQUESTS.get(listed.event.type)
    if kind is None:
        return None
    try:
        return kind.decode(listed.data, listed.event.attributes)
    except EventError:
        # From a newer version: its payload is shown anyway.
        return None


def _of_run(listed: Listed) -> dict[str, Any]:
    run = listed.run
    return {
        "mlflow_run_id": listed.event.run_id or None,
        "run_name": run.name if run else "",
        "experiment_name": run.experiment_name if run else "",
    }


def _server(found: ServerDown) -> dict[str, Any]:
    row = found.row
    return {
        "name": row.name,
        "down_since": _time(row.down_since),
        "reason": row.reason,
        "asked_at": _time(row.asked_at),
        "waiting": found.waiting,
    }


def _count(count: StateCount) -> dict[str, Any]:
    return {"count": count.total, "oldest_received_at": _time(count.oldest), "by_age": count.ages}


def _time(moment: datetime | None) -> str | None:
    return format_time(moment) if moment else None
