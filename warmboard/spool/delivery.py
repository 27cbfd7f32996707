"""Sends a spool to MLflow, batch by batch. Values that MLflow rejects are found and kept apart; the rest is sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from warmboard.errors import ValuesRejectedError
from warmboard.spool.spool import Spool
from warmboard.tracking.values import Batch

Send = Callable[[Batch], None]
"""Sends one batch. Raises TrackingError: ValuesRejectedError if the values themselves are at fault."""

# Halving finds one value among a thousand in 20 calls.
MAX_REJECTIONS = 64
"""After this many rejections in a row, batches are no longer halved."""
UNKNOWN_RUN = 404
TOO_LARGE = 413


@dataclass
class Delivered:
    """The outcome of one batch: the parts that MLflow accepted, and those it rejected, with the reason."""

    accepted: list[Batch] = field(default_factory=list)
    rejected: list[tuple[Batch, str]] = field(default_factory=list)


class Delivery:
    """Sends everything in a spool. A rejected batch is halved until the values at fault are alone.

    ``sent`` counts the values that MLflow has accepted, ``rejected`` those that it rejected for good. Both are counted
    before the spool forgets them, so that every value is always in a count.
    """

    def __init__(self, spool: Spool, send: Send) -> None:
        self.sent = 0
        self.rejected = 0
        self._spool = spool
        self._send = send
        # If nothing of a batch was accepted (the run is deleted, for example), halving the next one is useless.
        self._worth_halving = True

    def one(self) -> Delivered | None:
        """Send the next batch; None if there is none.

        Raises any error of ``send`` but ValuesRejectedError. After an error, the same batch is the next again.
        """
        batch = self._spool.next()
        if batch is None:
            return None
        delivered = self._deliver(batch)
        if delivered.accepted or len(batch) > 1:
            self._worth_halving = bool(delivered.accepted)
        self._spool.keep_rejected(delivered.rejected)
        self.sent += sum(map(len, delivered.accepted))
        self.rejected += sum(len(part) for part, _ in delivered.rejected)
        self._spool.sent()
        return delivered

    def _deliver(self, batch: Batch) -> Delivered:
        delivered = Delivered()
        rest = [batch]
        rejections = 0
        while rest:
            part = rest.pop()
            try:
                self._send(part)
            except ValuesRejectedError as error:
                rejections += 1
                if self._halve(part, error, rejections):
                    rest += reversed(_halves(part))
                else:
                    delivered.rejected.append((part, str(error)))
            else:
                rejections = 0
                delivered.accepted.append(part)
        return delivered

    def _halve(self, part: Batch, error: ValuesRejectedError, rejections: int) -> bool:
        if len(part) < 2 or error.status == UNKNOWN_RUN:
            return False
        # A rejected parameter says nothing about the metrics beside it, nor the batch's size about any value.
        apart = bool(part.metrics and part.params) or error.status == TOO_LARGE
        return apart or (self._worth_halving and rejections < MAX_REJECTIONS)


def _halves(batch: Batch) -> tuple[Batch, Batch]:
    if batch.metrics and batch.params:
        return Batch(params=batch.params), Batch(batch.metrics)
    middle = len(batch) // 2
    if batch.metrics:
        return Batch(batch.metrics[:middle]), Batch(batch.metrics[middle:])
    items = list(batch.params.items())
    return Batch(params=dict(items[:middle])), Batch(params=dict(items[middle:]))
