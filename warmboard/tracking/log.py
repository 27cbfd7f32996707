"""What a run is logged to, as callbacks and training loops see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


class Log(Protocol):
    """Takes a run's metrics and parameters. Neither call waits for a server, nor raises for a server or a disk."""

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Log one value per metric key, for this step (the epoch, counted from 0)."""

    def log_params(self, params: Mapping[str, object]) -> None:
        """Log parameters, as text."""


@dataclass
class Fits:
    """What all calls of ``fit`` of one run have logged, with whatever callbacks: the next step, and the parameters."""

    next_step: int = 0
    params: dict[str, object] = field(default_factory=dict)
