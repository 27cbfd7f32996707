"""Watches over runs that are held back, in a thread of beat: asks servers that are down whether they are back, with
back-off, and lets their runs through.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping

from workers.backoff import backoff
from workers.fetch.server import TrackingServer
from workers.servers import gate, held
from workers.servers.probe import Question, begin

LONGEST_PAUSE = 5.0
"""Seconds between two questions to a server that is down."""


class Watch:
    """Call ``turn`` once a second. ``dispatch`` queues the warming of a run; ``per_second`` is how many runs of a
    server are let through per turn after an outage. Tests replace the ``clock``.
    """

    def __init__(
        self,
        servers: Mapping[str, TrackingServer],
        per_second: int,
        dispatch: Callable[[str], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._servers, self._per_second, self._dispatch = servers, per_second, dispatch
        self._clock = clock
        self._asked: dict[str, Question] = {}
        self._in_vain = Counter[str]()
        self._due: dict[str, float] = {}

    def turn(self) -> None:
        """Take the answers, ask again where it is time, and let runs through.

        Raises DatabaseError, or kombu's OperationalError; the next turn continues.
        """
        self._take_answers()
        states = gate.states()
        gate.forget(states.keys() - self._servers.keys())
        states = {name: is_down for name, is_down in states.items() if name in self._servers}
        down = [name for name, is_down in states.items() if is_down]
        resting = gate.resting() if down else set()
        for name in down:
            self._ask_if_due(name, resting=name in resting)
        for name in self._in_vain.keys() - states.keys():
            del self._in_vain[name]
        waiting = held.by_server()
        for name in waiting:
            if not states.get(name):
                # After an outage at the agreed rate. Other runs wait for a process: their worker lets them through, and
                # this only makes sure of it.
                self._let_through(name, self._per_second if name in states else 1)
        gate.settle(states.keys() - waiting.keys())

    def _take_answers(self) -> None:
        for name in [name for name, question in self._asked.items() if question.is_over]:
            question = self._asked.pop(name)
            reason = question.outcome
            if reason is None:
                gate.reopen(name)
                continue
            self._in_vain[name] += 1
            gate.still_down(name, reason, question.rest)

    def _ask_if_due(self, name: str, *, resting: bool) -> None:
        """Ask the server, unless the last question is not answered yet; one that hangs delays no other. The pause grows
        with the number of questions in vain; a server that comes back only to go again gets no shorter one. One that
        is ``resting`` has asked for a longer one.
        """
        if name in self._asked:
            return
        due = self._due.setdefault(name, self._clock() + backoff(self._in_vain[name] + 1, longest=LONGEST_PAUSE))
        if self._clock() >= due and not resting:
            del self._due[name]
            self._asked[name] = begin(self._servers[name])

    def _let_through(self, name: str, most: int) -> None:
        for run_id in held.let_through(name, most):
            self._dispatch(run_id)
