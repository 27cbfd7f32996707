"""Fetch a run's metrics, parameters and tags from an MLflow tracking server, by the fastest way that there is."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator

import urllib3

from workers import counts
from workers.fetch.api import MlflowApi, MlflowStatusError
from workers.fetch.budget import Limits
from workers.fetch.bulk import BulkRoute
from workers.fetch.database.route import DatabaseRoute
from workers.fetch.database.snapshot import UnreadableError
from workers.fetch.server import TrackingServer
from workers.fetch.stock import StockServer, TakeRun
from workers.history.fetched import FetchedRun

__all__ = ["Fetcher", "Limits", "TrackingServer"]

log = logging.getLogger(__name__)
ASK_AGAIN_SECONDS = 300.0
READ_AGAIN_SECONDS = 60.0
"""How long a database that could not be read is left alone."""


class Fetcher:
    """Reads runs from one tracking server: from its database if we have its address, by the bulk route if it has one,
    otherwise metric by metric.

    ``concurrency`` is the max number of simultaneous requests; all requests of one fetch together are within
    ``limits``. Tests pass a ``transport`` in place of the network.
    Every method raises TransientError if a retry may help, otherwise PermanentError.
    """

    def __init__(
        self,
        server: TrackingServer,
        *,
        concurrency: int = 8,
        limits: Limits | None = None,
        transport: urllib3.PoolManager | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = MlflowApi(server, connections=concurrency, limits=limits, transport=transport)
        self._bulk, self._stock = BulkRoute(self._api), StockServer(self._api, concurrency)
        self._database = DatabaseRoute(server.database) if server.database else None
        self._name, self._clock = server.name, clock
        self._has_bulk, self._ask_after, self._read_after = False, -math.inf, -math.inf

    def fetch(
        self,
        run_id: str,
        kept: FetchedRun | None = None,
        alive: Callable[[], None] = lambda: None,
        first_charts: TakeRun = lambda run: None,
    ) -> FetchedRun:
        """Fetch the whole run as it is now.

        ``kept`` is the result of an earlier fetch. For a run that is still running, only what it lacks is requested.
        ``alive`` is called now and then during a long fetch. ``first_charts`` gets the run with its leading metrics
        alone, if all others will take long. What either raises ends the fetch.
        """
        api = self._api.of_one_fetch()
        if (found := self._from_database(api, run_id, kept, alive)) is not None:
            return found
        if self._bulk_exists():
            try:
                with counts.fetching(self._name, "bulk", lambda: api.received):
                    return self._bulk.within(api).fetch(run_id, kept, alive)
            except MlflowStatusError as error:
                if not error.is_no_route:
                    raise
                self._remember(False)
        with counts.fetching(self._name, "stock", lambda: api.received):
            return self._stock.within(api).fetch(run_id, kept, alive, first_charts)

    def search_runs(self, experiment_name: str) -> Iterator[str]:
        """The IDs of an experiment's runs that are not deleted, oldest first."""
        return self._stock.search_runs(experiment_name)

    def _from_database(
        self, api: MlflowApi, run_id: str, kept: FetchedRun | None, alive: Callable[[], None]
    ) -> FetchedRun | None:
        """The run as MLflow's database has it. None if it must be fetched by HTTP."""
        if self._database is None or self._clock() < self._read_after:
            return None
        try:
            with counts.fetching(self._name, "database", lambda: api.received):
                return self._database.fetch(run_id, kept, alive, api.budget)
        except UnreadableError as error:
            log.warning("the database of MLflow %r is not used for %g s: %s", self._name, READ_AGAIN_SECONDS, error)
            self._read_after = self._clock() + READ_AGAIN_SECONDS
            return None

    def _bulk_exists(self) -> bool:
        """Whether the server has the bulk route.

        A stock server is asked again after ASK_AGAIN_SECONDS, since it may be upgraded. The opposite needs no check:
        the route then answers 404.
        """
        if not self._has_bulk and self._clock() >= self._ask_after:
            self._remember(self._bulk.exists())
        return self._has_bulk

    def _remember(self, has_bulk: bool) -> None:
        self._has_bulk, self._ask_after = has_bulk, self._clock() + ASK_AGAIN_SECONDS
