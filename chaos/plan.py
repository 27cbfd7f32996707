"""What happens in a storm, and when: the same for the same seed."""

from __future__ import annotations

import random
from dataclasses import dataclass

PROGRAMS = ("worker", "subscriber", "beat", "webapp")
SERVERS = ("valkey", "pubsub", "mlflow")
ANSWERS = ("500", "garbage", "truncated", "slow", "endless", "redirect", "bomb", "hang", "refuse")
"""What the proxy in front of MLflow may do instead of passing an answer on (``chaos/proxy.py``)."""


@dataclass(frozen=True)
class Fault:
    """One fault. ``at`` and ``seconds``, how long it lasts, count from the start of the storm; 0 is a moment."""

    at: float
    kind: str
    target: str
    seconds: float = 0.0

    @property
    def end(self) -> float:
        return self.at + self.seconds

    def __str__(self) -> str:
        lasts = f" for {self.seconds:.0f} s" if self.seconds else ""
        return f"{self.kind} {self.target}{lasts}"


@dataclass(frozen=True)
class Scale:
    """The size of a storm: its runs, its seconds, its number of faults, and the range of seconds that a part is stopped
    or a fault lasts.
    """

    runs: int
    seconds: float
    faults: int
    shortest: float
    longest: float


FULL = Scale(runs=200, seconds=300.0, faults=32, shortest=20.0, longest=180.0)
SHORT = Scale(runs=10, seconds=20.0, faults=8, shortest=2.0, longest=8.0)


def kinds(database: str, *, disk: bool) -> list[tuple[str, str]]:
    """Every kind of fault that there is, with its target. ``disk``: whether the disk can be filled here."""
    parts = [*PROGRAMS, *SERVERS, *(["postgres"] if database == "postgresql" else [])]
    found = [("kill", part) for part in parts] + [("stop", part) for part in parts]
    found += [("kill", "worker child"), ("stop", "worker child"), ("flush", "valkey")]
    found += [("answer", answer) for answer in ANSWERS]
    if database == "postgresql":
        found.append(("kill", "postgres backend"))
    return found + ([("fill", "disk")] if disk else [])


def faults(seed: int, scale: Scale, database: str, *, disk: bool) -> list[Fault]:
    """The faults in the order of their times; all have ended at ``scale.seconds``. As long as there are enough, no kind
    comes twice.
    """
    chance = random.Random(seed)
    there_is = kinds(database, disk=disk)
    chosen: list[tuple[str, str]] = []
    while len(chosen) < scale.faults:
        chosen += chance.sample(there_is, min(len(there_is), scale.faults - len(chosen)))
    return sorted((_fault(chance, scale, *kind) for kind in chosen), key=lambda fault: fault.at)


def _fault(chance: random.Random, scale: Scale, kind: str, target: str) -> Fault:
    seconds = 0.0 if kind in ("kill", "flush") else chance.uniform(scale.shortest, scale.longest)
    return Fault(chance.uniform(0, scale.seconds - seconds), kind, target, seconds)
