"""The interface that callbacks and training loops log to."""

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
    """The progress of a run over all calls of ``fit``, with any callbacks: the next step, and the logged parameters."""

    next_step: int = 0
    params: dict[str, object] = field(default_factory=dict)
