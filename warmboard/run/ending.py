"""How a run ends: its status, and a timeout for each part of the end."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TypeVar

from warmboard.bounded import Bounded
from warmboard.contract.events import RunStatus
from warmboard.run.signals import INTERRUPTED, TERMINATED, Termination

log = logging.getLogger(__name__)

T = TypeVar("T")
SLACK_SECONDS = 0.2
"""Added to each timeout, for parts that keep their timeout themselves."""


@dataclass(frozen=True)
class Limits:
    """The timeout of each part of a run's end, in seconds: sending the values that are left, noting the end in the
    spool, ending the run in MLflow, writing ``mlflow_info.json``, moving unsent values to the bucket, publishing.
    """

    flush: float
    spool: float
    end: float
    info: float
    unsent: float
    event: float

    def at_most(self, other: Limits) -> Limits:
        """Return the shorter timeout of each part."""
        return Limits(*(min(getattr(self, field.name), getattr(other, field.name)) for field in fields(self)))


PATIENT = Limits(flush=60, spool=5, end=20, info=30, unsent=30, event=30)
# A pre-empted cloud job has 10 to 30 s left. With slack, these take 10 s if everything hangs.
HURRIED = Limits(flush=2.5, spool=0.4, end=1.2, info=1.2, unsent=1.2, event=1.2)


class Ending:
    """Runs the parts of an end one by one. A part that fails or times out never stops the next: a part that hangs is
    left behind on its own thread. A signal that `Termination` has deferred shortens the timeouts from then on.
    """

    def __init__(self, limits: Limits, hurried: Limits, termination: Termination) -> None:
        self.limits = limits
        self._hurried = hurried
        self._termination = termination

    def part(self, name: str, action: Callable[[float], T], *, again: bool = False) -> T | None:
        """Call ``action`` with its timeout in seconds and return its result; None if it failed or timed out.

        ``name`` is a field of `Limits`. With ``again``, a signal calls ``action`` a second time, with the shorter
        timeout, while the first call still runs.
        """
        try:
            work = self._run(name, action, again)
            return work.result()
        except Exception:
            log.exception("The end of the run continues, but this part of it failed: %s", name)
            return None

    def _run(self, name: str, action: Callable[[float], T], again: bool) -> Bounded[T]:
        if before := self._signalled():
            self.limits = self.limits.at_most(self._hurried)
        seconds = getattr(self.limits, name)
        work = Bounded(lambda: action(seconds), f"ending-{name}")
        ended = self._wait(work, seconds, lambda: self._signalled() and not before)
        if not ended and self._signalled() and not before:
            self.limits = self.limits.at_most(self._hurried)
            seconds = getattr(self.limits, name)
            if again:
                work = Bounded(lambda: action(seconds), f"ending-{name}-again")
            ended = self._wait(work, seconds, lambda: False)
        if not ended:
            log.error("The end of the run continues without this part: %s took more than %.1f s", name, seconds)
        return work

    def _wait(self, work: Bounded[T], seconds: float, hurry: Callable[[], bool]) -> bool:
        try:
            return work.wait(seconds + SLACK_SECONDS, hurry)
        except (KeyboardInterrupt, SystemExit) as error:
            # From a signal handler that is not ours.
            self._termination.deferred = error
            return False

    def _signalled(self) -> bool:
        return self._termination.deferred is not None


def status_of(error: BaseException | None) -> RunStatus:
    """Return the final status of a run whose training code raised this exception, or none."""
    if error is None:
        return RunStatus.FINISHED
    if isinstance(error, KeyboardInterrupt):
        return RunStatus.KILLED
    if isinstance(error, SystemExit):
        if error.code in (INTERRUPTED, TERMINATED):
            return RunStatus.KILLED
        return RunStatus.FAILED if error.code else RunStatus.FINISHED
    return RunStatus.FAILED
