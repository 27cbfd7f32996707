"""How each kind of fault is made, and ended."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from contextlib import suppress

import psutil
import redis

from chaos import disk
from chaos.plan import Fault
from chaos.stage import Stage

End = Callable[[], None]
FLUSH_SECONDS = 5.0


class Breaker:
    """Makes faults on a stage. What is random about them follows from the seed."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self._stage = stage
        self._chance = random.Random(seed)
        self._answers: list[str] = []

    def begin(self, fault: Fault) -> End:
        """Make the fault; returns what ends it."""
        return {
            "kill": self._kill,
            "stop": self._stop,
            "flush": self._flush,
            "answer": self._answer,
            "fill": self._fill,
        }[fault.kind](fault.target)

    def _kill(self, target: str) -> End:
        _signal(self._victims(target), signal.SIGKILL)
        return _nothing

    def _stop(self, target: str) -> End:
        victims = self._victims(target)
        _signal(victims, signal.SIGSTOP)
        return lambda: _signal(victims, signal.SIGCONT)

    def _victims(self, target: str) -> list[psutil.Process]:
        """A whole part, or one random process of it. The rest of PostgreSQL ends by itself when its postmaster does."""
        if target == "worker child":
            return self._one_of(self._stage.tree("worker")[1:])
        if target == "postgres backend":
            return self._one_of([process for process in self._stage.tree("postgres")[1:] if _is_backend(process)])
        return self._stage.tree(target)

    def _one_of(self, processes: list[psutil.Process]) -> list[psutil.Process]:
        return [self._chance.choice(processes)] if processes else []

    def _flush(self, _: str) -> End:
        """Empty Redis, queues and all. One that is down or stopped at this moment keeps what it has."""
        client = redis.Redis.from_url(
            self._stage.stack.environ["REDIS_URL"], socket_timeout=FLUSH_SECONDS, socket_connect_timeout=FLUSH_SECONDS
        )
        with suppress(redis.RedisError):
            client.flushall()
        client.close()
        return _nothing

    def _answer(self, answer: str) -> End:
        self._answers.append(answer)
        self._stage.proxy.answer = answer

        def end() -> None:
            self._answers.remove(answer)
            self._stage.proxy.answer = self._answers[-1] if self._answers else "pass"

        return end

    def _fill(self, _: str) -> End:
        disk.fill(self._stage.disk)
        return lambda: disk.empty(self._stage.disk)


def _signal(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _is_backend(process: psutil.Process) -> bool:
    """Whether it serves a connection."""
    try:
        return "warmboard" in " ".join(process.cmdline())
    except psutil.Error:
        return False


def _nothing() -> None:
    """A fault of a moment needs no end."""
