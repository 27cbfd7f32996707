"""What log messages say of the event that is worked on: ``event_id``, ``run_id`` and, if it has one, ``trace``."""

from __future__ import annotations

from collections.abc import Mapping

from store.logs import trace_in
from store.models import InboxEvent

TRACES = ("ce-traceparent", "traceparent", "googclient_traceparent")
"""Where a message has W3C's header: CloudEvents, OpenTelemetry, and Google's clients of Pub/Sub."""
LONGEST = 255


def of_message(message_id: str, attributes: Mapping[str, str]) -> dict[str, str]:
    """The fields of a message before it is read, as it names event and run itself."""
    found = {
        "message_id": message_id,
        "event_id": attributes.get("ce-id", ""),
        "run_id": attributes.get("ce-subject", ""),
    }
    return {name: value[:LONGEST] for name, value in {**found, "trace": _trace(attributes)}.items() if value}


def of_event(row: InboxEvent) -> dict[str, str]:
    """The fields of a row of the inbox."""
    found = {"event_id": row.event_id, "run_id": row.run_id, "trace": _trace(row.attributes)}
    return {name: value for name, value in found.items() if value}


def _trace(attributes: Mapping[str, str]) -> str:
    return next(filter(None, (trace_in(attributes.get(name, "")) for name in TRACES)), "")
