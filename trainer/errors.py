"""Everything that can go wrong in the trainer, as one tree; each message is meant for the person at the terminal."""

from __future__ import annotations


class TrainerError(Exception):
    """Any error of this program that its user can act on."""


class DataError(TrainerError):
    """The interactions can't be used: a column is missing, a value doesn't parse, or too little is left."""


class StorageError(TrainerError):
    """A file can't be read from or written to its folder or bucket."""


class PublishError(TrainerError):
    """The run event was not accepted by Pub/Sub in time."""


class TrackingError(TrainerError):
    """The MLflow tracking server could not do what was asked."""


class TrackingUnavailable(TrackingError):
    """A transient failure: no connection, no answer in time, HTTP 408, 425, 429 or 5xx. Worth another try."""


class NeverSent(TrackingUnavailable):
    """A transient failure that certainly changed nothing on the server: no connection came about, or HTTP 429."""


class TrackingRefused(TrackingError):
    """The server understood and said no. Asking again gives the same answer.

    ``code`` is MLflow's ``error_code`` (such as ``RESOURCE_DOES_NOT_EXIST``), or empty; ``status`` is the HTTP status.
    """

    def __init__(self, message: str, *, status: int, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class TrackingNotReady(TrackingError):
    """The server did not become ready in the time it was given."""
