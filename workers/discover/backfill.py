"""The runs of a server that ended before anyone announced them: which of them are still to be warmed."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from tqdm import tqdm

from store.models import ENDED, Run
from warmboard.contract.entries import SCHEMA_VERSION
from workers.discover.mlflow import MlflowLook
from workers.fetch.server import TrackingServer
from workers.settings import Settings

CHUNK = 500
"""How many runs the database is asked about at a time."""


def cold_runs(server: TrackingServer, settings: Settings) -> list[str]:
    """The IDs of the server's ended runs that are not warm, those that started last first. Shows its progress.

    What is warm by then is left out the next time. Raises TransientError,
    PermanentError, DatabaseError.
    """
    look = MlflowLook(server, settings.discover_days, limits=settings.fetch_limits)
    started: dict[str, int] = {}
    with tqdm(unit="run", desc="listing", file=sys.stderr, dynamic_ncols=True, disable=None) as bar:
        for page in look.ended():
            started.update(page)
            bar.update(len(page))
    newest = sorted(started, key=lambda run_id: (-started[run_id], run_id))
    cold = list(_without_warm(newest))
    print(
        f"{len(newest):,} runs have ended on {server.name}; already warm: {len(newest) - len(cold):,}; "
        f"to warm: {len(cold):,}, the newest first",
        file=sys.stderr,
    )
    return cold


def _without_warm(run_ids: Iterable[str]) -> Iterator[str]:
    rest = iter(run_ids)
    while chunk := list(islice(rest, CHUNK)):
        warm = _warm(chunk)
        yield from (run_id for run_id in chunk if run_id not in warm)


def _warm(run_ids: Sequence[str]) -> set[str]:
    """Those with entries that were made after their end."""
    known = Run.objects.filter(pk__in=run_ids, schema_version=SCHEMA_VERSION, status__in=ENDED)
    return set(known.values_list("pk", flat=True))
