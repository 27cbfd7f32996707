"""``mlflow_info.json``: a file that describes a training run, for when its events are lost.

The library writes it to ``OUTPUT_URI/{run_id}/`` at the run's start, and again at its end; the workers' sweep reads it.
If a training was killed, the file says RUNNING. The addresses in it are for people. Programs never call them: they use
the *name* of the tracking server. ``warmboard/contract/examples/mlflow-info-v1.json`` is a golden example.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any

from warmboard.contract.cloudevents import EventError, format_time
from warmboard.contract.events import RunEvent, RunStatus

FILE_NAME = "mlflow_info.json"
ENDED = (RunStatus.FINISHED, RunStatus.FAILED, RunStatus.KILLED)


class RunInfoError(ValueError):
    """The file is not a valid ``mlflow_info.json``; the message gives the reason."""


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """One run, as its training last described it.

    ``epochs`` is the number of epochs logged, ``unsent`` the number of values that were not in MLflow when the file was
    written. ``end_time`` is None while the run is in progress. Times are aware. ``model_uri`` and ``index_uri`` are the
    addresses of the trained model and of its index, if they were saved.
    """

    run_id: str
    run_name: str
    tracking_uri: str
    tracking_server: str
    experiment_id: str
    experiment_name: str
    status: RunStatus
    start_time: datetime | None = None
    end_time: datetime | None = None
    epochs: int = 0
    unsent: int = 0
    quick_test_id: int | None = None
    model_uri: str | None = None
    index_uri: str | None = None

    def encode(self) -> bytes:
        document = {
            **asdict(self),
            "status": self.status.value,
            "start_time": self.start_time and format_time(self.start_time),
            "end_time": self.end_time and format_time(self.end_time),
        }
        # Half of a surrogate pair, which file names may contain, has no UTF-8.
        return json.dumps(document, indent=2, ensure_ascii=False, default=str).encode(errors="replace") + b"\n"

    @classmethod
    def decode(cls, data: bytes) -> RunInfo:
        """Read a file's content. Unknown members are ignored: a newer trainer may write some. Raises RunInfoError."""
        try:
            document: dict[str, Any] = json.loads(data)
            known = {field.name: document[field.name] for field in fields(cls) if field.name in document}
            known["status"] = RunStatus(known["status"])
            for name in ("start_time", "end_time"):
                known[name] = _time(known.get(name))
            info = cls(**known)
            for name in ("run_name", "tracking_uri", "experiment_id"):
                if not isinstance(known[name], str):
                    raise TypeError(f"{name} is not a string")
            # It becomes an event, so the rules of events hold.
            data_of_event, attributes = (info.event() if info.end_time else info.started()).encode()
            RunEvent.decode(data_of_event, attributes)
        except (AttributeError, EventError, KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
            raise RunInfoError(f"not a {FILE_NAME} of this program: {error!r}") from error
        return info

    def started(self) -> RunEvent:
        """Return the run's started event."""
        return RunEvent.started(
            run_id=self.run_id,
            tracking_server=self.tracking_server,
            experiment_name=self.experiment_name,
            time=self.start_time or datetime.fromtimestamp(0, UTC),
            quick_test_id=self.quick_test_id,
        )

    def event(self, info_uri: str | None = None) -> RunEvent:
        """Return the run's completed event. Raises ValueError if the run has not ended."""
        if self.end_time is None:
            raise ValueError(f"run {self.run_id} has not ended")
        return RunEvent.completed(
            run_id=self.run_id,
            tracking_server=self.tracking_server,
            experiment_name=self.experiment_name,
            status=self.status,
            end_time=self.end_time,
            epochs=self.epochs,
            quick_test_id=self.quick_test_id,
            mlflow_info_uri=info_uri,
        )


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return moment.astimezone(UTC)
