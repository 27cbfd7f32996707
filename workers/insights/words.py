"""The wording of insights: figures, durations and names of metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from warmboard.contract.entries import Insight
from workers.history.roles import LABELS

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
MOST_NAMES = 3


def gravity(insight: Insight) -> tuple[int, int]:
    """A sort key: the most severe first, then by first epoch."""
    return SEVERITIES.index(insight["severity"]), insight["epochs"][0]


def insight_of(
    rule: str, severity: Severity, text: str, metric: str | None, first: int, last: int | None = None
) -> Insight:
    """Make an insight about the step ``first``, or the range from ``first`` to ``last``."""
    epochs = [first] if last in (None, first) else [first, int(last)]
    return {"rule": rule, "severity": severity, "text": text, "metric": metric, "epochs": epochs}


def label(key: str, first: bool = False) -> str:
    """The name of a metric in a sentence, capitalised if it comes ``first``."""
    label = LABELS.get(key, key)
    return label.capitalize() if first and key in LABELS else label


def names_of(keys: Sequence[str]) -> str:
    """List metrics in words: at most MOST_NAMES, then the number of the others."""
    names = list(keys[:MOST_NAMES])
    if len(keys) > MOST_NAMES:
        names.append(count(len(keys) - MOST_NAMES, "other metric"))
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def count(number: int, noun: str) -> str:
    """A number with its noun: 1 epoch, 1,200 epochs."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def figure(value: float) -> str:
    """Format a number with about four digits: 0.8312, 53,120, 1.2e-08."""
    if value and not 1e-3 <= abs(value) < 1e7:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def duration(milliseconds: float) -> str:
    """Format a duration with three digits, in the largest fitting unit: 120 ms, 12.3 s, 90 min, 5 h."""
    for unit, length, least in (("h", 3_600_000, 2), ("min", 60_000, 2), ("s", 1000, 1)):
        if milliseconds >= least * length:
            return f"{milliseconds / length:.3g} {unit}"
    return f"{milliseconds:.3g} ms"
