"""``python -m workers replay``: one run, or many batch by batch, with a progress bar."""

from __future__ import annotations

import sys
import time

from django.utils import timezone
from tqdm import tqdm

from store.selection import selected
from warmboard.contract.replay import Selection
from workers.replay.batches import Dispatch, hand_out, wait_for

SHOWN = 20


def show(selection: Selection) -> None:
    """What a replay would touch: how many runs, and the first of them."""
    runs = selected(selection)
    total = runs.count()
    for run in runs[:SHOWN]:
        print(f"run {run.run_id} ({run.status}, {run.experiment_name})")
    if total > SHOWN:
        print(f"… and {total - SHOWN:,} more")
    print(f"{selection}: {total:,} would be warmed again")


def replay_many(selection: Selection, wait: float, dispatch: Dispatch) -> list[str]:
    """Hands out all that are meant. With ``wait``, each batch when the one before is settled: it gives up after so many
    seconds without any progress. With 0 it hands out everything at once. Returns the runs that failed.

    Raises ReplayError, DatabaseError, kombu's OperationalError.
    """
    begin, asked_at, after, failed, handed = time.monotonic(), timezone.now(), "", list[str](), 0
    total = selected(selection).count()
    with tqdm(total=total, unit="run", desc="replaying", file=sys.stderr, dynamic_ncols=True, disable=None) as bar:
        while runs := hand_out(selection, asked_at, after, dispatch):
            handed, after = handed + len(runs), runs[-1]
            if wait:
                failed += wait_for(runs, wait, bar.update)
    if not wait:
        print(f"{selection}: handed out {handed:,}")
        return []
    for run_id in failed:
        print(f"run {run_id} failed; its page has the reason", file=sys.stderr)
    seconds = time.monotonic() - begin
    print(f"{selection}: {handed - len(failed):,} warm, {len(failed):,} failed, in {seconds:.1f} s")
    return failed
