"""The rules' input: a run's curves, and values derived from them for several rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from warmboard.contract.catalogue import is_histogram
from warmboard.contract.entries import Insight
from workers.history.drawing import Curve
from workers.history.roles import (
    Pair,
    is_gradient_norm,
    is_plain_loss,
    judge_of,
    pairs_of,
    timed_by,
    training_loss_of,
)
from workers.history.unit import Unit
from workers.insights.trend import Timing, Trend, finite

FEWEST_TREND = 10
"""Min number of points: two windows. With fewer, a trend can't be told from noise."""


@dataclass(frozen=True)
class Run:
    """A run's curves, sorted by key, none of them empty."""

    curves: dict[str, Curve]
    unit: Unit
    turns: dict[Pair, Insight | None] = field(default_factory=dict)
    """What is known of pairs whose validation side gets worse, for two rules (``losses.py``)."""
    _finite: dict[str, Curve] = field(default_factory=dict)

    def finite(self, key: str) -> Curve:
        """The finite points of a curve; may be empty."""
        if key not in self._finite:
            self._finite[key] = finite(self.curves[key])
        return self._finite[key]

    @cached_property
    def metrics(self) -> dict[str, Curve]:
        """All curves except the parts of histograms."""
        return {key: curve for key, curve in self.curves.items() if not is_histogram(key)}

    @cached_property
    def gradient_norms(self) -> list[str]:
        """Metrics that are called so, but for those with negative values: they are no norms."""
        return [key for key in self.metrics if is_gradient_norm(key) and not (self.finite(key).values < 0).any()]

    @cached_property
    def pairs(self) -> list[Pair]:
        return pairs_of(self.metrics)

    @cached_property
    def judged_by(self) -> str | None:
        return judge_of(self.metrics, self.pairs)

    @cached_property
    def trained_by(self) -> str | None:
        """The training loss, or if there is none, the metric that judges the run."""
        return training_loss_of(self.metrics, self.pairs) or self.judged_by

    @cached_property
    def timed_by(self) -> str | None:
        """The metric whose steps count as the run's."""
        return timed_by(self.metrics)

    @cached_property
    def timing(self) -> Timing | None:
        return Timing.of(self.curves[self.timed_by]) if self.timed_by else None

    @cached_property
    def trends(self) -> dict[str, Trend]:
        """Trends of training and validation loss by key, if they have at least FEWEST_TREND points."""
        paired = {key for pair in self.pairs for key in (pair.training, pair.validation)}
        keys = [key for key in (self.trained_by, self.judged_by) if key and (key in paired or is_plain_loss(key))]
        curves = {key: self.finite(key) for key in keys}
        return {
            key: Trend.of(curve.steps, curve.values)
            for key, curve in curves.items()
            if len(curve.steps) >= FEWEST_TREND
        }
