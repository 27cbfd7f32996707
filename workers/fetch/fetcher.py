"""Fetch: everything that charts need of one run, from an MLflow tracking server, by the quickest way that it has."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator

import urllib3

from workers.fetch.api import MlflowApi, MlflowStatusError
from workers.fetch.bulk import BulkRoute
from workers.fetch.server import TrackingServer
from workers.fetch.stock import StockServer
from workers.history.fetched import FetchedRun

__all__ = ["Fetcher", "TrackingServer"]

ASK_AGAIN_SECONDS = 300.0


class Fetcher:
    """Reads runs from one tracking server: from ours by the bulk route, from a stock one metric by metric.

    ``transport`` takes the place of the network in tests. Every method raises TransientError or PermanentError.
    """

    def __init__(
        self,
        server: TrackingServer,
        *,
        concurrency: int = 8,
        transport: urllib3.PoolManager | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        api = MlflowApi(server, connections=concurrency, transport=transport)
        self._bulk, self._stock = BulkRoute(api), StockServer(api, concurrency)
        self._clock = clock
        self._has_bulk, self._ask_after = False, -math.inf

    def fetch(
        self, run_id: str, kept: FetchedRun | None = None, alive: Callable[[], None] = lambda: None
    ) -> FetchedRun:
        """The whole run as it is now. ``kept`` is what an earlier fetch gave: of a run that still goes on, only what it
        lacks is asked for. ``alive`` is called along the way, so that a caller can say that a long fetch goes on.
        """
        if self._bulk_exists():
            try:
                return self._bulk.fetch(run_id, kept, alive)
            except MlflowStatusError as error:
                if not error.is_no_route:
                    raise
                self._remember(False)
        return self._stock.fetch(run_id, kept, alive)

    def search_runs(self, experiment_name: str) -> Iterator[str]:
        """The IDs of an experiment's runs that are not deleted, the oldest first."""
        return self._stock.search_runs(experiment_name)

    def _bulk_exists(self) -> bool:
        """Asks now and then: a stock server may become one of ours. That ours becomes a stock one shows by itself."""
        if not self._has_bulk and self._clock() >= self._ask_after:
            self._remember(self._bulk.exists())
        return self._has_bulk

    def _remember(self, has_bulk: bool) -> None:
        self._has_bulk, self._ask_after = has_bulk, self._clock() + ASK_AGAIN_SECONDS
