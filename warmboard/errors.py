"""The library's errors. Their messages are for the person at the terminal."""

from __future__ import annotations

# A 400 without one of MLflow's codes comes from a proxy. MLflow answers BAD_REQUEST when its own database fails.
CODES_OF_OTHERS = ("", "BAD_REQUEST")
NO_SUCH_RESOURCE = "RESOURCE_DOES_NOT_EXIST"


class WarmboardError(Exception):
    """The base class: an error that the user of the library can act on."""


class StorageError(WarmboardError):
    """A file can't be read from or written to its folder or bucket."""


class PublishError(WarmboardError):
    """Pub/Sub did not accept the run event before the timeout."""


class TrackingError(WarmboardError):
    """A request to the MLflow tracking server failed."""


class TrackingUnavailableError(TrackingError):
    """A transient failure: no connection, no complete answer before the timeout, HTTP 408, 425, 429 or 5xx but 501.

    ``retry_after`` is the pause in seconds that the server asked for (its ``Retry-After`` header); 0 if it did not ask.
    """

    def __init__(self, message: str, *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RequestNotProcessedError(TrackingUnavailableError):
    """A transient failure that certainly changed nothing on the server: no connection, or HTTP 429."""


class TrackingTimeoutError(TrackingUnavailableError):
    """A transient failure after which the server may still process the request: a timeout, HTTP 504 or 524."""


class TrackingNotReadyError(TrackingError):
    """The server did not become ready before the timeout."""


class TrackingRejectedError(TrackingError):
    """The server rejected the request. Retrying gives the same answer.

    ``code`` is MLflow's ``error_code`` (such as ``RESOURCE_DOES_NOT_EXIST``), or empty; ``status`` is the HTTP status.
    """

    def __init__(self, message: str, *, status: int, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    @property
    def is_final(self) -> bool:
        """True if MLflow itself rejected the request; False for a proxy's answer or a database that is down."""
        missing = (self.status, self.code) == (404, NO_SUCH_RESOURCE)
        return missing or (self.status == 400 and self.code not in CODES_OF_OTHERS)


class ValuesRejectedError(TrackingRejectedError):
    """MLflow rejected these values, or their run, for good. Only ``TrackingClient.log_batch`` raises it."""


class SpoolError(WarmboardError):
    """The file is not a spool, or can't be read. The file is not changed."""


class SpoolLockedError(SpoolError):
    """The spool is in use: its training still runs, or another flush is sending it."""
