"""The query parameters of the comparison."""

from __future__ import annotations

from collections.abc import Callable

from warmboard.contract.events import RUN_ID
from webapp.api.parameters import Parameter, within

FEWEST, MOST = 2, 50
MOST_METRICS = 200
"""The max number of metrics in one answer, unless all are asked for."""


def _run_ids(fewest: int) -> Callable[[str], list[str]]:
    """A parser of comma-separated run IDs, without duplicates. It raises ValueError for an invalid list."""

    def parse(text: str) -> list[str]:
        run_ids = list(dict.fromkeys(text.split(","))) if text else []
        if "" in run_ids:
            raise ValueError("an ID is empty")
        if malformed := next((run_id for run_id in run_ids if not RUN_ID.fullmatch(run_id)), None):
            raise ValueError(f"{malformed!r} is not a run ID")
        if not fewest <= len(run_ids) <= MOST:
            raise ValueError(f"has {len(run_ids)} different runs; {FEWEST} to {MOST} can be compared")
        return run_ids

    return parse


def _keys(text: str) -> list[str]:
    """Raises ValueError."""
    keys = list(dict.fromkeys(key for key in text.split(",") if key))
    if not 1 <= len(keys) <= MOST_METRICS:
        raise ValueError(f"has {len(keys)} different metrics; 1 to {MOST_METRICS} can be read at once")
    return keys


_RUNS = {
    "type": "string",
    "pattern": f"^{RUN_ID.pattern}(,{RUN_ID.pattern}){{{FEWEST - 1},{MOST - 1}}}$",
    "examples": ["first-run,second-run"],
}
RUNS = Parameter("runs", "IDs of 2 to 50 different runs, separated by commas.", _RUNS, _run_ids(FEWEST), required=True)
CHOSEN: Parameter[list[str]] = Parameter("runs", "Run IDs, separated by commas.", _RUNS, _run_ids(0), default=[])
FIRST: Parameter[int | None] = Parameter(
    "first",
    "Of each run only the summaries of at most this many metrics, those of its first charts; and an index of all. "
    "Without it: the summaries of all metrics.",
    {"type": "integer", "minimum": 1, "maximum": MOST_METRICS},
    within(1, MOST_METRICS),
)
METRICS = Parameter(
    "metrics",
    f"Keys of 1 to {MOST_METRICS} different metrics, separated by commas.",
    {"type": "string", "pattern": "[^,]", "examples": ["val_loss,train/loss"]},
    _keys,
    required=True,
)
