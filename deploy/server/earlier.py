"""Shows in a terminal how far the warming of earlier runs is, from what the webapp tells of it."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from tqdm import tqdm

from deploy.local.process import open_local
from deploy.local.supervisor import say

SERVER = "default"
DOWN_LOOKS = 20
"""After so many looks at a server that is down it is told."""
SECONDS = 5.0
"""How long the webapp may take to answer."""


class EarlierRuns:
    """A progress bar. ``web`` is the webapp's address, ``began`` when the command was started, by time.monotonic."""

    def __init__(self, web: str, began: float) -> None:
        self._web, self._began = web, began
        self._bar: tqdm[Any] | None = None
        self._down_looks = 0
        self._has_warm = False
        self.is_over = False

    def poll(self) -> None:
        """Look once, and show what is new. Does nothing once all runs are warm."""
        if self.is_over:
            return
        try:
            with open_local(f"{self._web}api/operations/", SECONDS) as answer:
                found = json.load(answer)
        except (OSError, ValueError):
            # It is restarting, or busy.
            return
        parts = found["parts"]
        self._tell_down(parts["tracking_servers"])
        row = next((row for row in parts["earlier_runs"] if row["name"] == SERVER), None)
        if row:
            self._show(row, found["states"]["failed"]["count"])

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def _tell_down(self, servers: list[dict[str, Any]]) -> None:
        down = next((row for row in servers if row["name"] == SERVER and row["down_since"]), None)
        self._down_looks = self._down_looks + 1 if down else 0
        # One that starts with us is down at first.
        if down and self._down_looks == DOWN_LOOKS:
            say(f"  MLflow does not answer; its runs are warmed when it does: {down['reason']}")

    def _show(self, row: dict[str, Any], failed: int) -> None:
        if self._bar is None:
            warm = row["found"] - row["to_warm"]
            already = f", {warm:,} of them warm" if warm else ""
            rest = ", warming the newest first" if row["to_warm"] else ""
            say(f"  {_count(row['found'], 'run')} in {_count(row['experiments'], 'experiment')}{already}{rest}")
            self._bar = tqdm(
                total=row["to_warm"], unit="run", desc="  warming", file=sys.stderr, dynamic_ncols=True, disable=None
            )
        self._bar.update(row["done"] - self._bar.n)
        if row["done"] and not self._has_warm:
            self._has_warm = True
            say(f"  The first runs are warm {self._seconds():.0f} s after the start: {self._web}")
        if row["finished_at"]:
            self.close()
            self.is_over = True
            outcome = f"; {_count(failed, 'event')} failed: {self._web}operations/" if failed else ""
            if row["to_warm"]:
                say(f"  All earlier runs are done after {self._seconds():.0f} s{outcome}")

    def _seconds(self) -> float:
        return time.monotonic() - self._began


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
