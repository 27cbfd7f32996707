"""Runs to look for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from store import searched
from store.models import Run
from tests.store.samples import summaries

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
Make = Callable[..., Run]


@pytest.fixture
def make(db: None) -> Make:
    """Makes runs, each a minute newer than the last: their rows as a warming leaves them."""
    made = 0

    def one(
        run_id: str, params: dict[str, str] | None = None, metrics: dict[str, float | None] | None = None, **fields: Any
    ) -> Run:
        nonlocal made
        made += 1
        moment = NOON + timedelta(minutes=made)
        usual = {"tracking_server": "default", "experiment_name": "e", "status": "FINISHED", "announced_at": moment}
        run = Run.objects.create(run_id=run_id, **(usual | fields))
        known = {key: value for key, value in (metrics or {}).items() if value is not None}
        searched.write(run, params or {}, summaries(known))
        run.params, run.final_metrics = params or {}, metrics or {}
        run.save()
        return run

    return one
