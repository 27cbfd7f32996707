"""Claims that are renewed by time: in a thread, as long as their work runs, whatever it does meanwhile."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextvars import copy_context
from types import TracebackType
from typing import Self

from django.db import DatabaseError, connection

log = logging.getLogger(__name__)
RENEWALS = 4
"""How often a claim is renewed within its lease."""
JOIN_SECONDS = 1.0


class LostClaimError(Exception):
    """The claim on this work expired, or was given back. Its outcome does not count."""


class Renewal:
    """Renews a claim while the block runs.

    ``renew`` returns whether the claim still holds; it may raise DatabaseError, and is then called again. ``seconds``
    is the length of the lease.
    """

    def __init__(self, renew: Callable[[], bool], seconds: float) -> None:
        self._renew = renew
        self._every = seconds / RENEWALS
        self._ended, self._lost = threading.Event(), threading.Event()
        # With what log messages say of the work.
        context = copy_context()
        self._thread = threading.Thread(target=context.run, args=[self._run], name="lease", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        # A database that hangs must not hold the worker. A late renewal changes only a claim that still holds.
        self._thread.join(JOIN_SECONDS)

    def check(self) -> None:
        """Raise LostClaimError if the claim is known to be lost. Long work calls it now and then."""
        if self._lost.is_set():
            raise LostClaimError("its claim was lost")

    def _run(self) -> None:
        try:
            while not self._ended.wait(self._every):
                self._renew_once()
        finally:
            # Django keeps a connection for each thread.
            connection.close()

    def _renew_once(self) -> None:
        try:
            if not self._renew():
                self._lost.set()
                self._ended.set()
        except DatabaseError as error:
            log.warning("a claim was not renewed: %s", error)
