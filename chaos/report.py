"""The report of the last storms: a page of the docs, and the same as JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from chaos.storm import Outcome

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "chaos.md"
RESULTS = Path(__file__).parent / "results" / "chaos.json"
HEAD = """# The last storms

`make chaos` breaks every part at random while runs end: it kills processes with -9 (a child of the worker, worker,
subscriber, beat, webapp, Valkey, Pub/Sub, MLflow, PostgreSQL's backends and postmaster) or stops them for a while,
empties Redis, fills the database's disk, and lets a proxy in front of MLflow answer with 500, garbage, half an
answer, one byte each 2 s, without end, a redirect, a gzip bomb, or not at all. Events come twice, shuffled,
malformed, with 9 MB, from 2999, of unknown servers. The sweep for unannounced runs is off. Afterwards every run must
be warm unaided, with the bytes of a calm warming (times aside); every message that is no event is kept with its
reason; nothing is there twice, nothing is left unfinished. `chaos/` has the code; the faults follow from the seed.
"""
COLUMNS = (
    "database", "seed", "runs warm", "messages", "faults", "restarts", "recovery: median", "p95", "max",
    "peak memory of a worker process", "problems",
)  # fmt: skip


def publish(outcomes: list[Outcome]) -> None:
    """Write the page and the JSON."""
    RESULTS.parent.mkdir(exist_ok=True)
    # asdict makes keys of a Counter's items.
    told = [asdict(outcome) | {"faults": dict(outcome.faults)} for outcome in outcomes]
    RESULTS.write_text(json.dumps(told, indent=2) + "\n")
    PAGE.write_text(page(outcomes))


def page(outcomes: list[Outcome]) -> str:
    """The page, as Markdown."""
    rows = [COLUMNS, ["---"] * len(COLUMNS), *(_row(outcome) for outcome in outcomes)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    warm, runs = sum(outcome.verdict.warm for outcome in outcomes), sum(outcome.scale.runs for outcome in outcomes)
    date, machine = datetime.now(UTC), f"{os.cpu_count()} cores, Python {platform.python_version()}"
    return (
        f"{HEAD}\n## {date:%Y-%m-%d}, {machine}: {warm:,} of {runs:,} runs warm\n\n{table}\n\n"
        "Recovery: the seconds from the end of the last fault, or from a run's publishing if that was later, until it"
        " was warm; 0 for runs that were warm before.\n"
        f"{_problems(outcomes)}\n## What was broken\n\n{_faults(outcomes)}\n"
    )


def line(outcome: Outcome) -> str:
    """One storm in a line, for the terminal."""
    return "   ".join(f"{name}: {value}" for name, value in zip(COLUMNS, _row(outcome), strict=True))


def _row(outcome: Outcome) -> list[str]:
    verdict = outcome.verdict
    times = verdict.recoveries or [float("nan")]
    p95 = sorted(times)[min(len(times) - 1, int(len(times) * 0.95))]
    return [
        outcome.database,
        str(outcome.seed),
        f"{verdict.warm} of {outcome.scale.runs}",
        f"{outcome.messages + outcome.repeated:,}",
        str(outcome.faults.total()),
        str(outcome.restarts),
        *(f"{seconds:.1f} s" for seconds in (statistics.median(times), p95, max(times))),
        f"{outcome.peak_bytes / 2**20:.0f} MiB",
        str(len(verdict.problems)),
    ]


def _problems(outcomes: list[Outcome]) -> str:
    lines = [
        f"- {outcome.database}, seed {outcome.seed}: {problem}"
        for outcome in outcomes
        for problem in outcome.verdict.problems
    ]
    if not all(outcome.could_fill for outcome in outcomes):
        lines.append("- Not run: the full disk, for which a small one must be mounted, as root.")
    return "\n" + "\n".join(["## Problems", "", *lines, ""]) if lines else ""


def _faults(outcomes: list[Outcome]) -> str:
    counts: dict[str, int] = {}
    for outcome in outcomes:
        for name, count in outcome.faults.items():
            counts[name] = counts.get(name, 0) + count
    return "\n".join(["| fault | times |", "|---|---|", *(f"| {name} | {counts[name]} |" for name in sorted(counts))])
