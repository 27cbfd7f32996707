"""Why a run could not be warmed. Operators and viewers read the text of these errors."""


class WarmError(Exception):
    """A run could not be warmed."""

    @property
    def is_answer(self) -> bool:
        """Whether a working tracking server said so, about this run. If not, the server itself may be down."""
        return False


class TransientError(WarmError):
    """It may work later: the server is down, busy or broken. Retried with back-off."""


class NotMlflowError(TransientError):
    """The answer is not MLflow's: a redirect, a page, garbage, or a document that is too large. A proxy may have given
    it in MLflow's place.
    """


class ThrottledError(TransientError):
    """The server asks for fewer requests (429): no failure of the run. ``rest`` is how many seconds it wants to be left
    alone.
    """

    def __init__(self, text: str, rest: float = 0.0) -> None:
        super().__init__(text)
        self.rest = rest


class PermanentError(WarmError):
    """A retry would not help: no such run, no such server, no permission. Parked as failed, with this reason."""

    @property
    def is_answer(self) -> bool:
        return True

    @property
    def is_gone(self) -> bool:
        """Whether MLflow lacks the run."""
        return False


class DeletedError(PermanentError):
    """The run is deleted in MLflow."""

    is_gone = True
