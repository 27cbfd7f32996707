"""What must be true after a storm."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime

from chaos.runs import MARK, Script
from chaos.tables import Body, Row, Tables
from warmboard.contract.events import EventType

UNFINISHED = ("pending", "warming")


@dataclass
class Verdict:
    """``problems`` in words, none if all is well. ``recoveries``: for each run that became warm, the seconds from the
    end of the last fault, or from its publishing if that was later; 0 if it was warm before.
    """

    problems: list[str] = field(default_factory=list)
    warm: int = 0
    recoveries: list[float] = field(default_factory=list)


def settled(tables: Tables, script: Script) -> str:
    """What is still unfinished, in words; empty if nothing is."""
    rows = tables.inbox(MARK)
    known, kept = {(row.source, row.event_id) for row in rows}, {row.mark for row in rows}
    missing = len(script.events - known) + len(set(script.malformed) - kept)
    unfinished = sum(row.state in UNFINISHED for row in rows)
    return f"{missing} messages not in the inbox, {unfinished} events unfinished" if missing or unfinished else ""


def judge(tables: Tables, script: Script, calm: dict[Body, bytes], last_fault: datetime) -> Verdict:
    """Compare the tables with what the script promises, and the bodies with those of a calm warming."""
    verdict, rows = Verdict(), tables.inbox(MARK)
    _check_events(verdict, script, rows)
    _check_malformed(verdict, script, rows)
    _check_bodies(verdict, script, tables, calm)
    by_run: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_run[row.run_id].append(row)
    for run_id in script.warm:
        if recovery := _recovery(by_run[run_id], last_fault):
            verdict.recoveries.append(recovery[0])
    return verdict


def _check_events(verdict: Verdict, script: Script, rows: list[Row]) -> None:
    counts = Counter((row.source, row.event_id) for row in rows)
    verdict.problems += [f"event {name} is not in the inbox" for name in sorted(script.events - counts.keys())]
    verdict.problems += [f"event {name} is there {count} times" for name, count in counts.items() if count > 1]
    parked = set(script.parked)
    for row in rows:
        expected = "unreadable" if row.mark else "failed" if row.run_id in parked else "done"
        if row.state != expected:
            found = f"{row.state}, not {expected}, after {row.attempts} attempts: {row.reason[:200]}"
            verdict.problems.append(f"event {row.event_id} is {found}")
        elif expected == "failed" and not row.reason:
            verdict.problems.append(f"event {row.event_id} was parked without a reason")


def _check_malformed(verdict: Verdict, script: Script, rows: list[Row]) -> None:
    # One that was published again, because its first answer never came, is another message: it may be kept twice.
    kept = {row.mark for row in rows if row.state == "unreadable" and row.reason}
    verdict.problems += [f"malformed message {mark} is lost" for mark in script.malformed if mark not in kept]


def _check_bodies(verdict: Verdict, script: Script, tables: Tables, calm: dict[Body, bytes]) -> None:
    bodies = tables.bodies()
    if twice := tables.entries_twice():
        verdict.problems.append(f"{twice} entries are there twice")
    wrong = {body[0] for body in bodies.keys() | calm.keys() if bodies.get(body) != calm.get(body)}
    warm = {body[0] for body in bodies}
    verdict.warm = len(warm & set(script.warm) - wrong)
    verdict.problems += [f"run {run_id} is not warm" for run_id in script.warm if run_id not in warm]
    verdict.problems += [f"run {run_id} is warm, but not as in a calm" for run_id in sorted(wrong & warm)]


def _recovery(rows: list[Row], last_fault: datetime) -> tuple[float] | None:
    """The seconds, if the run became warm."""
    completed = [row for row in rows if row.type == EventType.COMPLETED]
    done = [row.done_at for row in completed if row.done_at]
    if not done:
        return None
    waits_from = max(last_fault, min(row.published_at for row in completed))
    return (max(0.0, (min(done) - waits_from).total_seconds()),)
