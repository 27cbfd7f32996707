"""``python -m workers warm``: warms runs in this process, without an event or a worker."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from django.db import DatabaseError
from tqdm import tqdm

from store.warm import HotCopyError
from workers.errors import TransientError, WarmError
from workers.fetch.fetcher import TrackingServer
from workers.servers import gate
from workers.servers.gate import HeldBackError
from workers.servers.outage import outage_of
from workers.servers.probe import ask
from workers.settings import Settings
from workers.warm.pipeline import Warmed, fetcher, warm_from

SHOWN = 3
"""How many runs are named of those that failed for one reason."""


@dataclass
class Report:
    """The outcome of each run. ``failed``: run ID → reason."""

    warmed: list[Warmed] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def __str__(self) -> str:
        size = sum(warmed.size for warmed in self.warmed)
        metrics = sum(warmed.metrics for warmed in self.warmed)
        failed = f", {len(self.failed)} failed" if self.failed else ""
        done = f"{_count(len(self.warmed), 'run')} warm{failed}"
        return f"{done}: {_count(metrics, 'metric')}, {size / 1024:,.0f} KiB in {self.seconds:.1f} s"

    def reasons(self) -> Iterator[str]:
        """A line for each reason why runs failed, the most frequent first."""
        for reason, count in Counter(self.failed.values()).most_common():
            runs = [run_id for run_id, of_this in self.failed.items() if of_this == reason]
            more = f" and {count - SHOWN:,} more" if count > SHOWN else ""
            yield f"failed: {', '.join(runs[:SHOWN])}{more}: {reason}"


class Pace:
    """Lets ``rate`` callers a second pass, evenly: what one call was late, the next ones don't make up for."""

    def __init__(self, rate: float | None) -> None:
        self._between = 1 / rate if rate else 0.0
        self._next = time.monotonic()

    def wait(self) -> None:
        """Return when the next one may go."""
        time.sleep(max(0.0, self._next - time.monotonic()))
        self._next = time.monotonic() + self._between


def runs_of(experiment: str, server: TrackingServer, settings: Settings) -> list[str]:
    """The run IDs of an experiment. Raises TransientError, PermanentError."""
    return list(fetcher(server, settings).search_runs(experiment))


def warm_now(run_ids: Iterable[str], server: TrackingServer, settings: Settings, rate: float | None = None) -> Report:
    """Warm the runs one after the other, with a progress bar: at most ``rate`` a second. A run that fails does not stop
    the others, a server that is down does.
    """
    begin, report, down = time.monotonic(), Report(), ""
    pace = Pace(rate)
    # disable=None: without a terminal, only outcomes are printed.
    with tqdm(list(run_ids), unit="run", desc="warming", file=sys.stderr, dynamic_ncols=True, disable=None) as bar:
        for run_id in bar:
            if down:
                report.failed[run_id] = down
                continue
            pace.wait()
            try:
                _wait_for_turn(server, settings)
                warmed = warm_from(server, run_id, settings, alive=lambda: _tick(bar))
            except (WarmError, HotCopyError, DatabaseError) as error:
                report.failed[run_id] = str(error)
                down = _outage(error, server)
                bar.write(f"run {run_id} failed: {error}", file=sys.stderr)
                continue
            report.warmed.append(warmed)
            bar.write(f"run {run_id} {warmed}", file=sys.stdout)
    report.seconds = time.monotonic() - begin
    return report


def _wait_for_turn(server: TrackingServer, settings: Settings) -> None:
    """Wait as a worker does until a server that has just come back is to be asked again.

    Raises TransientError if it is down: it is asked once, since a person may know that it is back.
    """
    while True:
        try:
            time.sleep(gate.admit(server.name, settings.recovery_runs_per_second))
        except HeldBackError:
            if gate.is_down(server.name):
                if reason := ask(server):
                    raise TransientError(reason) from None
                gate.reopen(server.name)
            time.sleep(gate.LONGEST_PACE)
        else:
            return


def _outage(error: Exception, server: TrackingServer) -> str:
    """Why the server is down; empty if it is not, or if that can't be recorded."""
    try:
        outage = outage_of(error, server)
    except DatabaseError as unrecorded:
        return str(unrecorded)
    return outage.reason if outage and outage.seconds is None else ""


def _tick(bar: tqdm[str]) -> None:
    """Redraw the bar's clock during a long fetch."""
    bar.update(0)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
