"""Run events: what the trainer says about one MLflow run, and the workers hear.

CloudEvents 1.0 on Google Cloud Pub/Sub in binary content mode: every context attribute is a message attribute
with the prefix ``ce-`` (so that subscriptions can filter by type), the data is JSON, and ``content-type`` names it.
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
https://github.com/google/knative-gcp/blob/main/docs/spec/pubsub-protocol-binding.md

Written by the trainer, read by the workers' subscriber. ``contract/examples/event-*.json`` holds one golden message of
every type and version. An event states a fact and names things (a tracking *server* by its configured name); it never
carries an address that anybody should call.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

SOURCE = "/warmboard/trainer"
CONTENT_TYPE = "application/json"
LONGEST = {"tracking_server": 64, "experiment_name": 500, "mlflow_info_uri": 2000}
LONGEST_ATTRIBUTE = 255
LARGEST = 2**31 - 1
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class EventError(ValueError):
    """The message is no run event of a version this program knows; the text says which part and why."""


class EventType(StrEnum):
    STARTED = "warmboard.run.started.v1"
    PROGRESSED = "warmboard.run.progressed.v1"
    COMPLETED = "warmboard.run.completed.v1"


class RunStatus(StrEnum):
    """MLflow's run states (``mlflow.entities.RunStatus``)."""

    RUNNING = "RUNNING"
    SCHEDULED = "SCHEDULED"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"


@dataclass(frozen=True, kw_only=True)
class RunEvent:
    """One fact about one run.

    ``id`` is unique within ``source``; the same fact published again has the same id, so that a second delivery and a
    second publication are equally harmless. ``epochs`` counts the epochs logged so far. ``time`` and ``end_time`` are
    aware datetimes in UTC; ``end_time`` is set in completed events.
    """

    type: EventType
    id: str
    time: datetime
    run_id: str
    tracking_server: str
    experiment_name: str
    status: RunStatus
    source: str = SOURCE
    quick_test_id: int | None = None
    epochs: int | None = None
    end_time: datetime | None = None
    mlflow_info_uri: str | None = None

    @classmethod
    def started(
        cls,
        *,
        run_id: str,
        tracking_server: str,
        experiment_name: str,
        time: datetime,
        quick_test_id: int | None = None,
    ) -> Self:
        """The run has begun. A run begins once, so its ID is enough to make the event's."""
        return cls(
            type=EventType.STARTED,
            id=f"{run_id}.started",
            time=time,
            run_id=run_id,
            tracking_server=tracking_server,
            experiment_name=experiment_name,
            status=RunStatus.RUNNING,
            quick_test_id=quick_test_id,
            epochs=0,
        )

    @classmethod
    def progressed(
        cls,
        *,
        run_id: str,
        tracking_server: str,
        experiment_name: str,
        time: datetime,
        epochs: int,
        quick_test_id: int | None = None,
    ) -> Self:
        """So many epochs of the run are in MLflow now."""
        return cls(
            type=EventType.PROGRESSED,
            id=f"{run_id}.progressed.{epochs}",
            time=time,
            run_id=run_id,
            tracking_server=tracking_server,
            experiment_name=experiment_name,
            status=RunStatus.RUNNING,
            quick_test_id=quick_test_id,
            epochs=epochs,
        )

    @classmethod
    def completed(
        cls,
        *,
        run_id: str,
        tracking_server: str,
        experiment_name: str,
        status: RunStatus,
        end_time: datetime,
        epochs: int,
        quick_test_id: int | None = None,
        mlflow_info_uri: str | None = None,
    ) -> Self:
        """The run has ended. The id follows from the fact, so publishing it twice makes one event."""
        return cls(
            type=EventType.COMPLETED,
            id=f"{run_id}.completed.{int(end_time.timestamp() * 1000)}",
            time=end_time,
            run_id=run_id,
            tracking_server=tracking_server,
            experiment_name=experiment_name,
            status=status,
            quick_test_id=quick_test_id,
            epochs=epochs,
            end_time=end_time,
            mlflow_info_uri=mlflow_info_uri,
        )

    def encode(self) -> tuple[bytes, dict[str, str]]:
        """Data and attributes of the Pub/Sub message."""
        data = {
            "run_id": self.run_id,
            "tracking_server": self.tracking_server,
            "experiment_name": self.experiment_name,
            "status": self.status.value,
            "quick_test_id": self.quick_test_id,
            "epochs": self.epochs,
            "end_time": self.end_time and format_time(self.end_time),
            "mlflow_info_uri": self.mlflow_info_uri,
        }
        attributes = {
            "ce-specversion": "1.0",
            "ce-type": self.type.value,
            "ce-source": self.source,
            "ce-id": self.id,
            "ce-time": format_time(self.time),
            "ce-subject": self.run_id,
            "content-type": CONTENT_TYPE,
        }
        return json.dumps(data, allow_nan=False).encode(), attributes

    @classmethod
    def decode(cls, data: bytes, attributes: Mapping[str, str]) -> Self:
        """The event of a Pub/Sub message. Unknown fields are ignored: a newer trainer may add some.

        Raises EventError, which names the attribute or field at fault.
        """
        if attributes.get("ce-specversion") != "1.0":
            raise EventError(f"attribute ce-specversion is {attributes.get('ce-specversion')!r}, not '1.0'")
        try:
            event_type = EventType(attributes.get("ce-type", ""))
        except ValueError:
            known = ", ".join(EventType)
            raise EventError(f"attribute ce-type is {attributes.get('ce-type')!r}; known types: {known}") from None
        fields = _Fields(data)
        return cls(
            type=event_type,
            id=_attribute(attributes, "ce-id"),
            source=_attribute(attributes, "ce-source"),
            time=_time("attribute ce-time", _attribute(attributes, "ce-time")),
            run_id=fields.run_id(),
            tracking_server=fields.text("tracking_server"),
            experiment_name=fields.text("experiment_name"),
            status=fields.status(),
            quick_test_id=fields.positive("quick_test_id"),
            epochs=fields.count("epochs"),
            end_time=fields.time("end_time"),
            mlflow_info_uri=fields.optional_text("mlflow_info_uri"),
        )


class _Fields:
    """The JSON object of an event, read field by field; every error names its field."""

    def __init__(self, data: bytes) -> None:
        try:
            document = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise EventError(f"data is not JSON: {error}") from error
        if not isinstance(document, dict):
            raise EventError(f"data is a JSON {type(document).__name__}, not an object")
        self._document: dict[str, Any] = document

    def optional_text(self, name: str) -> str | None:
        value = self._document.get(name)
        if value is not None and not isinstance(value, str):
            raise EventError(f"field {name} is {value!r}, not a string")
        if value:
            _check_text(f"field {name}", value, LONGEST.get(name, LONGEST_ATTRIBUTE))
        return value

    def text(self, name: str) -> str:
        value = self.optional_text(name)
        if not value:
            raise EventError(f"field {name} is missing or empty")
        return value

    def run_id(self) -> str:
        value = self.text("run_id")
        if not RUN_ID.fullmatch(value):
            raise EventError(f"field run_id is {value!r}: 1 to 64 letters, digits, _ or -")
        return value

    def status(self) -> RunStatus:
        value = self.text("status")
        try:
            return RunStatus(value)
        except ValueError:
            raise EventError(f"field status is {value!r}; known: {', '.join(RunStatus)}") from None

    def count(self, name: str) -> int | None:
        value = self._document.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST:
            raise EventError(f"field {name} is {str(value)[:40]}, not a whole number from 0 to {LARGEST}")
        return value

    def positive(self, name: str) -> int | None:
        value = self.count(name)
        if value == 0:
            raise EventError(f"field {name} is 0; numbers start at 1")
        return value

    def time(self, name: str) -> datetime | None:
        value = self.optional_text(name)
        return None if value is None else _time(f"field {name}", value)


def format_time(moment: datetime) -> str:
    """RFC 3339 in UTC, with milliseconds: ``2026-01-02T10:30:00.000Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _attribute(attributes: Mapping[str, str], name: str) -> str:
    value = attributes.get(name)
    if not value:
        raise EventError(f"attribute {name} is missing or empty")
    _check_text(f"attribute {name}", value, LONGEST_ATTRIBUTE)
    return value


def _check_text(what: str, value: str, longest: int) -> None:
    """Refuses what a database would not take."""
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise EventError(f"{what} holds a NUL or half a character")
    if len(value) > longest:
        raise EventError(f"{what} is too long: {len(value)} characters, at most {longest}")


def _time(what: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise EventError(f"{what} is {text!r}, not an RFC 3339 time") from None
    if moment.tzinfo is None:
        raise EventError(f"{what} is {text!r}, without a time zone")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise EventError(f"{what} is {text!r}, beyond the calendar") from None
