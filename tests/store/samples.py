"""Minimal runs and entries."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from store import warm
from store.models import Run
from warmboard.contract.entries import Entry, EntryKey, Resolution, Summary
from workers.documents.encoding import encode
from workers.history.points import Points

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def announce(run_id: str = "run1") -> Run:
    return Run.objects.create(
        run_id=run_id, tracking_server="default", experiment_name="e", status="FINISHED", announced_at=NOON
    )


def entry(text: str) -> Entry:
    document: Any = {"available": True, "text": text}
    return encode(document)


def summaries(values: Mapping[str, float]) -> dict[str, Summary]:
    """The summaries of metrics with a single value."""
    one = np.zeros(1, dtype=np.int64)
    return {key: Points(one, np.array([value]), one).summary() for key, value in values.items()}


def warm_run(
    text: str, *, minutes: int = 0, more: Mapping[EntryKey, Entry] | None = None, run_id: str = "run1"
) -> warm.WarmRun:
    """A run whose history says ``text``, fetched ``minutes`` after noon."""
    entries = {EntryKey.history(run_id, resolution): entry(f"{text} {resolution}") for resolution in Resolution}
    return warm.WarmRun(
        run_id=run_id,
        fetched_at=NOON + timedelta(minutes=minutes),
        experiment_name="two-tower",
        name="quick-test-1",
        status="FINISHED",
        start_time=NOON,
        end_time=NOON,
        epochs=3,
        history_length=3,
        pending_metrics=0,
        unit="epoch",
        newest_at=NOON,
        digest="",
        summaries=summaries({"final_loss": 0.1}),
        parent="",
        params={"epochs": "3"},
        tags={"team": "ranking"},
        final_metrics={"final_loss": 0.1},
        sparkline=[3.0, None, 1.0],
        entries={**entries, **(more or {})},
        source=f"source of {text}".encode(),
    )
