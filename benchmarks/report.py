"""Measures with their budgets, printed as a table and written as JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Measure:
    """``value`` and ``reference`` have the same ``unit``; ``ratio`` is value / reference. ``budget`` is a text, and
    ``holds`` says whether the value is within it.
    """

    name: str
    value: float
    unit: str
    reference: float | None = None
    budget: str = ""
    holds: bool = True

    @property
    def ratio(self) -> float | None:
        return self.value / self.reference if self.reference else None


def say(what: str) -> None:
    """Print what is being measured now: some of it takes minutes."""
    print(f"… {what}", file=sys.stderr, flush=True)


def median_ms(action: Callable[[], object], times: int) -> float:
    """Median milliseconds of ``times`` runs, after one warm-up if ``times`` is more than 1."""
    return medians_ms([action], times)[0]


def medians_ms(actions: Sequence[Callable[[], object]], times: int) -> list[float]:
    """The same for each of several actions, which take turns: a machine's speed changes within a minute."""
    if times > 1:
        for action in actions:
            action()
    rounds = [[elapsed_ms(action) for action in actions] for _ in range(times)]
    return [statistics.median(of_one) for of_one in zip(*rounds, strict=True)]


def elapsed_ms(action: Callable[[], object]) -> float:
    begin = time.perf_counter()
    action()
    return (time.perf_counter() - begin) * 1000


def percentile(values: list[float], part: float) -> float:
    """The value that a share ``part`` (0 to 1) of the values does not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def publish(name: str, measures: Iterable[Measure]) -> None:
    """Print a table, each line when it has been measured, and write ``benchmarks/results/NAME.json``."""
    print(f"{'measure':<62}{'value':>12}{'reference':>12}{'ratio':>9}  budget", flush=True)
    done = []
    for measure in measures:
        done.append(measure)
        reference = "" if measure.reference is None else f"{measure.reference:,.1f}"
        ratio = "" if measure.ratio is None else f"{measure.ratio:.3f}"
        verdict = measure.budget and f"{measure.budget}: {'holds' if measure.holds else 'MISSED'}"
        line = f"{measure.name:<62}{measure.value:>12,.1f}{reference:>12}{ratio:>9}  {verdict}  [{measure.unit}]"
        print(line, flush=True)
    machine = {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    document = {"machine": machine, "measures": [{**asdict(measure), "ratio": measure.ratio} for measure in done]}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n")
    print(f"written to {RESULTS.name}/{name}.json", file=sys.stderr)
