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
    """A transient failure: no connection, no whole answer in time, HTTP 408, 425, 429 or 5xx but 501.

    ``retry_after`` is what the server asked to be left alone for, in seconds; 0 where it did not ask.
    """

    def __init__(self, message: str, *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NeverSent(TrackingUnavailable):
    """A transient failure that certainly changed nothing on the server: no connection came about, or HTTP 429."""


class NoAnswer(TrackingUnavailable):
    """A transient failure after which the server may still be at it: no answer in time, HTTP 504 or 524."""


# A 400 without MLflow's code is a proxy's; BAD_REQUEST is what MLflow says of its own database's failures.
NO_VERDICT = ("", "BAD_REQUEST")
UNKNOWN = "RESOURCE_DOES_NOT_EXIST"


class TrackingRefused(TrackingError):
    """The server understood and said no. Asking again gives the same answer.

    ``code`` is MLflow's ``error_code`` (such as ``RESOURCE_DOES_NOT_EXIST``), or empty; ``status`` is the HTTP status.
    """

    def __init__(self, message: str, *, status: int, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    @property
    def is_verdict(self) -> bool:
        """Whether it is MLflow's own word on what was asked, not that of a proxy or of a database that is away."""
        return (self.status, self.code) == (404, UNKNOWN) or (self.status == 400 and self.code not in NO_VERDICT)


class TrackingNotReady(TrackingError):
    """The server did not become ready in the time it was given."""


class ValuesRefused(TrackingRefused):
    """MLflow took the request and refuses these values, or their run, for good. Only ``log_batch`` raises it."""


class SpoolError(TrainerError):
    """The file holds no unsent values that this program can read. It is left as it is."""


class SpoolBusy(SpoolError):
    """The file is in use: its training still runs, or another flush is at it."""
