"""The fetches that the old version kept: what a worker of this version makes of them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.upgrade.documents import as_then, but_for_time, decoded
from tests.upgrade.fixture import RUNS, from_base64, rows
from warmboard.contract.entries import EntryKey, Resolution
from workers.documents.run import RunDocuments
from workers.documents.sample import Sampling
from workers.history.ndjson import NotWholeError, read_run


@pytest.mark.parametrize("name", ["plain", "secret", "aged"])
def test_a_kept_source_has_what_was_stored(name: str) -> None:
    (source,) = rows("store_runsource", run_id=RUNS[name])
    run = read_run(from_base64(source["body"]))
    entries = RunDocuments(run, Sampling(interval=5, points=100), datetime.now(UTC)).entries()
    for row in rows("store_warmentry", run_id=RUNS[name]):
        entry = entries[EntryKey(RUNS[name], row["name"], Resolution(row["resolution"]))]
        assert but_for_time(as_then(row["name"], entry.decode())) == but_for_time(decoded(row))


def test_a_source_that_lacks_points_is_not_read() -> None:
    (source,) = rows("store_runsource", run_id=RUNS["golden"])
    with pytest.raises(NotWholeError, match="it lacks points of metric 'weight_norm'"):
        read_run(from_base64(source["body"]))
