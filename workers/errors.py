"""Why a run could not be warmed. The text of an error is what the operator and the viewer read."""


class WarmError(Exception):
    """A run could not be warmed."""


class TransientError(WarmError):
    """It may work later: the server is away, busy or broken. Tried again with back-off."""


class PermanentError(WarmError):
    """It will not work by itself: no such run, no such server, no permission. Kept as failed with this reason."""
