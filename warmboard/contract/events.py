"""Run events: started, progressed, completed and changed, each about one MLflow run.

They are CloudEvents on Pub/Sub, in the envelope of `cloudevents.py`. The library publishes them, except that a run has
changed since it was fetched: that is found by the workers' sweep, and others may publish it. The workers' subscriber
reads them. ``examples/event-*.json`` holds one golden message of every type and version. An event names the tracking
*server* by its configured name. It never carries an address to call.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self

from warmboard.contract.cloudevents import LARGEST, Envelope, EventError, Fields, format_time

SOURCE = "/warmboard/trainer"
SWEEP_SOURCE = "/warmboard/sweep"
"""The source of events that the workers record of runs that no program announced."""
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class EventType(StrEnum):
    STARTED = "warmboard.run.started.v1"
    PROGRESSED = "warmboard.run.progressed.v1"
    COMPLETED = "warmboard.run.completed.v1"
    CHANGED = "warmboard.run.changed.v1"


class RunStatus(StrEnum):
    """MLflow's run states (``mlflow.entities.RunStatus``)."""

    RUNNING = "RUNNING"
    SCHEDULED = "SCHEDULED"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"


QUICK_TEST_TAG = "quick_test_id"
"""The tag in MLflow of a run that belongs to a quick test."""


@dataclass(frozen=True, kw_only=True)
class RunEvent:
    """One fact about one run.

    ``id`` is unique within ``source``. The same fact published again has the same id, so a second publication is as
    harmless as a second delivery. ``epochs`` is the number of epochs logged so far. ``time`` and ``end_time`` are aware
    datetimes in UTC; only completed events have an ``end_time``.
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
        """Return the event of a run's start. A run starts once, so the event's ID follows from the run's."""
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
        """Return the event of a run that has this many epochs in MLflow."""
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
        epochs: int | None = None,
        quick_test_id: int | None = None,
        mlflow_info_uri: str | None = None,
    ) -> Self:
        """Return the event of a run's end. Its ID follows from run and end time: published twice, it is one event."""
        return cls(
            type=EventType.COMPLETED,
            id=f"{run_id}.completed.{round(end_time.timestamp() * 1000)}",
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
        """Return the data and the attributes of the Pub/Sub message."""
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
        envelope = Envelope(self.type.value, self.source, self.id, self.time, subject=self.run_id)
        return json.dumps(data, allow_nan=False).encode(), envelope.attributes()

    @classmethod
    def decode(cls, data: bytes, attributes: Mapping[str, str]) -> Self:
        """Read a Pub/Sub message. Unknown fields are ignored: a newer trainer may add some.

        Raises EventError, which names the invalid attribute or field.
        """
        envelope = Envelope.of(attributes, EventType)
        fields = Fields(data)
        return cls(
            type=EventType(envelope.type),
            id=envelope.id,
            source=envelope.source,
            time=envelope.time,
            run_id=read_run_id(fields),
            tracking_server=fields.text("tracking_server"),
            experiment_name=fields.text("experiment_name"),
            status=_read_status(fields),
            quick_test_id=fields.positive("quick_test_id"),
            epochs=fields.count("epochs"),
            end_time=fields.time("end_time"),
            mlflow_info_uri=fields.optional_text("mlflow_info_uri"),
        )


def quick_test_of(tags: Mapping[str, object]) -> int | None:
    """Return the quick-test ID of a run with these tags in MLflow; None if it has none that an event may carry."""
    text = str(tags.get(QUICK_TEST_TAG) or "")
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST)) else 0
    return number if 1 <= number <= LARGEST else None


def read_run_id(fields: Fields) -> str:
    """Return the field ``run_id``. Raises EventError."""
    value = fields.text("run_id")
    if not RUN_ID.fullmatch(value):
        raise EventError(f"field run_id is {value!r}: 1 to 64 letters, digits, _ or -")
    return value


def _read_status(fields: Fields) -> RunStatus:
    value = fields.text("status")
    try:
        return RunStatus(value)
    except ValueError:
        raise EventError(f"field status is {value!r}; known: {', '.join(RunStatus)}") from None
