"""From the spool to MLflow, a call at a time. What MLflow refuses is found and set aside, and the rest gets through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from warmboard.errors import ValuesRejectedError
from warmboard.spool.spool import Spool
from warmboard.tracking.values import Batch

Send = Callable[[Batch], None]
"""Sends one batch; raises a TrackingError, ValuesRejectedError among them."""

# One value among a thousand is found in 20 calls.
MOST_IN_VAIN = 64
"""So many refusals in a row end the search for what is not at fault."""
UNKNOWN_RUN = 404
TOO_LARGE = 413


@dataclass
class Delivered:
    """What became of one batch."""

    taken: list[Batch] = field(default_factory=list)
    refused: list[tuple[Batch, str]] = field(default_factory=list)


class Delivery:
    """Empties a spool. A batch that is refused is halved until the values at fault are alone.

    ``sent`` counts the values that MLflow has taken, ``refused`` those that it refused for good: before they stop
    waiting, so that no value is ever in no count at all.
    """

    def __init__(self, spool: Spool, send: Send) -> None:
        self.sent = 0
        self.refused = 0
        self._spool = spool
        self._send = send
        # Where nothing of a batch was taken, as of a run that is deleted, halving the next would be in vain.
        self._worth_halving = True

    def one(self) -> Delivered | None:
        """Sends what is next; None where nothing waits.

        Raises what ``send`` raises, but for ValuesRejectedError: then the same is next again.
        """
        batch = self._spool.next()
        if batch is None:
            return None
        delivered = self._deliver(batch)
        if delivered.taken or len(batch) > 1:
            self._worth_halving = bool(delivered.taken)
        self._spool.refuse(delivered.refused)
        self.sent += sum(map(len, delivered.taken))
        self.refused += sum(len(part) for part, _ in delivered.refused)
        self._spool.sent()
        return delivered

    def _deliver(self, batch: Batch) -> Delivered:
        delivered = Delivered()
        rest = [batch]
        in_vain = 0
        while rest:
            part = rest.pop()
            try:
                self._send(part)
            except ValuesRejectedError as error:
                in_vain += 1
                if self._halve(part, error, in_vain):
                    rest += reversed(_halves(part))
                else:
                    delivered.refused.append((part, str(error)))
            else:
                in_vain = 0
                delivered.taken.append(part)
        return delivered

    def _halve(self, part: Batch, error: ValuesRejectedError, in_vain: int) -> bool:
        if len(part) < 2 or error.status == UNKNOWN_RUN:
            return False
        # A parameter that can't be changed says nothing of the metrics beside it, and a size nothing of any value.
        apart = bool(part.metrics and part.params) or error.status == TOO_LARGE
        return apart or (self._worth_halving and in_vain < MOST_IN_VAIN)


def _halves(batch: Batch) -> tuple[Batch, Batch]:
    if batch.metrics and batch.params:
        return Batch(params=batch.params), Batch(batch.metrics)
    middle = len(batch) // 2
    if batch.metrics:
        return Batch(batch.metrics[:middle]), Batch(batch.metrics[middle:])
    items = list(batch.params.items())
    return Batch(params=dict(items[:middle])), Batch(params=dict(items[middle:]))
