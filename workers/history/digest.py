"""A digest of a run as MLflow describes it, which tells whether the run has changed since it was fetched. Pure.

MLflow's search gives a run's description and the latest point of every metric. A fetch gives the same and more. The two
digests are equal until the run is changed, or more is logged.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from hashlib import blake2b
from typing import Any

from workers.history.fetched import FetchedRun, described, printable
from workers.history.points import Point, latest_points

BYTES = 12


def digest_of(run: FetchedRun) -> str:
    """The digest of a run that was fetched."""
    return _digest(run, {key: points.last() for key, points in run.points.items()})


def digest_of_found(document: Mapping[str, Any], experiment_name: str) -> str:
    """The digest of a run in an answer of ``runs/search``. A malformed document raises what it causes."""
    latest = latest_points(document.get("data", {}).get("metrics", []))
    return _digest(described(document, experiment_name), latest)


def _digest(run: FetchedRun, latest: Mapping[str, Point]) -> str:
    # What a rebuild reads is printable, and must have the same digest.
    run = replace(run, points={}).printable()
    # repr tells NaN and the infinities apart.
    values = sorted((printable(key), step, time, repr(value)) for key, (step, time, value) in latest.items())
    described = [
        run.experiment_name, run.name, run.status, str(run.start_time), str(run.end_time),
        sorted(run.params.items()), sorted(run.tags.items()), values,
    ]  # fmt: skip
    return blake2b(json.dumps(described).encode(), digest_size=BYTES).hexdigest()
