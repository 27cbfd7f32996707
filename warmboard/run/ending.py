"""The time that each part of a run's end may take, and what makes it shorter."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TypeVar

from warmboard.bounded import Bounded
from warmboard.run.signals import Termination

log = logging.getLogger(__name__)

T = TypeVar("T")
SLACK_SECONDS = 0.2
"""So much later than agreed a part that keeps its time itself may end."""


@dataclass(frozen=True)
class Limits:
    """So many seconds each part of a run's end may take: sending what waits, noting the end in the spool, telling
    MLflow, writing ``mlflow_info.json``, putting what is left into the bucket, publishing.
    """

    flush: float
    spool: float
    end: float
    info: float
    unsent: float
    event: float

    def at_most(self, other: Limits) -> Limits:
        """The shorter of each."""
        return Limits(*(min(getattr(self, field.name), getattr(other, field.name)) for field in fields(self)))


PATIENT = Limits(flush=60, spool=5, end=20, info=30, unsent=30, event=30)
# Of the 10 to 30 s that a pre-empted cloud job has left, these take 10 where everything hangs, slack and all.
HURRIED = Limits(flush=2.5, spool=0.4, end=1.2, info=1.2, unsent=1.2, event=1.2)


class Ending:
    """Goes through the parts of an end one by one. None of them can hold it up, and none that fails ends it: whatever
    hangs is left behind on a thread of its own. A signal that `Termination` has put off makes what is left hurry.
    """

    def __init__(self, limits: Limits, hurried: Limits, termination: Termination) -> None:
        self.limits = limits
        self._hurried = hurried
        self._termination = termination

    def part(self, name: str, action: Callable[[float], T], *, again: bool = False) -> T | None:
        """What ``action`` returns, which is told its seconds; None where it failed or took too long.

        ``again``: where it has to hurry, it is called a second time, with the shorter time, while the first call lasts.
        """
        try:
            work = self._run(name, action, again)
            return work.result()
        except Exception:
            log.exception("The end of the run goes on, but this part of it failed: %s", name)
            return None

    def _run(self, name: str, action: Callable[[float], T], again: bool) -> Bounded[T]:
        before = self._told()
        seconds = getattr(self.limits, name)
        work = Bounded(lambda: action(seconds), f"ending-{name}")
        ended = self._wait(work, seconds, lambda: self._told() and not before)
        if not ended and self._told() and not before:
            self.limits = self.limits.at_most(self._hurried)
            seconds = getattr(self.limits, name)
            if again:
                work = Bounded(lambda: action(seconds), f"ending-{name}-again")
            ended = self._wait(work, seconds, lambda: False)
        elif self._told():
            self.limits = self.limits.at_most(self._hurried)
        if not ended:
            log.error("The end of the run goes on without waiting any longer: %s took more than %.1f s", name, seconds)
        return work

    def _wait(self, work: Bounded[T], seconds: float, hurry: Callable[[], bool]) -> bool:
        try:
            return work.wait(seconds + SLACK_SECONDS, hurry)
        except (KeyboardInterrupt, SystemExit) as told:
            # From a handler that is not ours.
            self._termination.noted = told
            return False

    def _told(self) -> bool:
        return self._termination.noted is not None
