"""Fetch a run by Warmboard's bulk route: one request, answered as lines of JSON that are parsed one by one."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from workers.errors import DeletedError, NotMlflowError, PermanentError, TransientError
from workers.fetch.api import MlflowApi, MlflowStatusError
from workers.fetch.incremental import continued
from workers.history.fetched import FetchedRun
from workers.history.ndjson import NotWholeError, Reading, read_lines, split_lines

VERSION_PATH = "api/2.0/warmboard/version"
HISTORY_PATH = "api/2.0/warmboard/runs/{}/history"


class BulkRoute:
    """Reads runs by the route that `mlflow_server/` adds to MLflow.

    Every method raises TransientError or PermanentError; MlflowStatusError with ``is_no_route`` if the server lacks
    the route.
    """

    def __init__(self, api: MlflowApi) -> None:
        self._api = api

    def within(self, api: MlflowApi) -> BulkRoute:
        """The route for the requests of one fetch, by an API with their budget."""
        return BulkRoute(api)

    def exists(self) -> bool:
        """Ask the server whether it has the route.

        A stock server, or a proxy in front of it, answers 404, 405, 403 or an HTML page. Raises MlflowStatusError if
        the credentials are wrong (401), and TransientError.
        """
        try:
            return bool(self._api.get(VERSION_PATH, "history") == 1)
        except (PermanentError, NotMlflowError) as error:
            if isinstance(error, MlflowStatusError) and error.status == 401:
                raise
            return False

    def fetch(self, run_id: str, kept: FetchedRun | None, alive: Callable[[], None]) -> FetchedRun:
        """Fetch the whole run. Requests only what ``kept`` lacks where the two fit together."""

        def read(from_step: int | None) -> Reading:
            return self._read(run_id, from_step, alive)

        return (kept and continued(kept, read)) or read(None).run

    def _read(self, run_id: str, from_step: int | None, alive: Callable[[], None]) -> Reading:
        try:
            with self._api.open(HISTORY_PATH.format(quote(run_id, safe="")), from_step=from_step) as body:
                return read_lines(body.within_memory(split_lines(body)), alive)
        except NotWholeError as error:
            raise TransientError(f"MLflow's history of run {run_id} is incomplete: {error}") from error
        except MlflowStatusError as error:
            if error.is_gone and "deleted" in str(error):
                raise DeletedError(f"run {run_id} is deleted in MLflow") from error
            raise
