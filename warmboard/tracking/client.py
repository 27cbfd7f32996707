"""The calls of MLflow's REST API that a training run needs, without the ``mlflow`` package.

Transient failures are retried if the request is safe to repeat. ``log-batch`` is: the server drops exact duplicates.
``runs/create`` is not: see `TrackingClient.create_run`.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Self

import requests
from requests.auth import AuthBase

from warmboard.bounded import Bounded
from warmboard.contract.events import RunStatus
from warmboard.contract.settings import without_credentials
from warmboard.errors import (
    NO_SUCH_RESOURCE,
    RequestNotProcessedError,
    TrackingError,
    TrackingNotReadyError,
    TrackingRejectedError,
    TrackingTimeoutError,
    TrackingUnavailableError,
    ValuesRejectedError,
)
from warmboard.settings import Settings
from warmboard.tracking.auth import credentials
from warmboard.tracking.rest import RestApi, member
from warmboard.tracking.retry import Retry
from warmboard.tracking.values import (
    MAX_ENTITIES_PER_BATCH,
    MAX_PARAMS_PER_BATCH,
    Metric,
    fit_key,
    milliseconds,
    param,
)

log = logging.getLogger(__name__)

READY_TIMEOUT_SECONDS = 120.0
READY_DELAYS_SECONDS = (5.0, 10.0, 15.0, 20.0)
TOO_LARGE = 413
CREATION_SETTLES_SECONDS = 60.0
"""After a timeout of ``runs/create``, the run may still appear for this long."""
CREATION_TAG = "warmboard.creation"
# MLflow 2 doesn't recognise a NaN that it already has: SQLite, PostgreSQL and MySQL answer with these errors.
DUPLICATE = re.compile(
    r"UNIQUE constraint failed: metrics\b"
    r"|duplicate key value violates unique constraint \W*metric"
    r"|Duplicate entry .* for key \W*metrics\.PRIMARY"
)


class TrackingClient:
    """A client of one tracking server. Safe to use from several threads.

    Every method raises a TrackingError: TrackingUnavailableError after the last retry, TrackingRejectedError without
    any. ``uri`` may hold credentials, which are used if ``auth`` is not given; ``self.uri`` and messages hold none.
    """

    def __init__(
        self,
        uri: str,
        *,
        auth: AuthBase | None = None,
        session: requests.Session | None = None,
        retry: Retry | None = None,
    ) -> None:
        self.uri = without_credentials(uri.rstrip("/"))
        self._api = RestApi(self.uri, auth or credentials(uri), session or requests.Session())
        self._retry = retry or Retry()
        # Creation ID → until when its run may still appear, on the retry's clock.
        self._unconfirmed: dict[str, float] = {}

    @classmethod
    def of(cls, settings: Settings, **options: Any) -> Self:
        """Return the client for MLFLOW_TRACKING_URI with its credentials.

        ``options`` are the keyword arguments of `TrackingClient`. Raises warmboard.contract.settings.SettingError.
        """
        auth = credentials(
            settings.mlflow_tracking_uri,
            settings.mlflow_tracking_username,
            settings.mlflow_tracking_password,
            settings.mlflow_tracking_token,
        )
        session = options.pop("session", None) or requests.Session()
        session.cert = settings.mlflow_tracking_client_cert_path
        return cls(settings.mlflow_tracking_uri, auth=auth, session=session, **options)

    def wait_until_ready(
        self,
        within: float = READY_TIMEOUT_SECONDS,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Return once ``/health`` answers 200. It is asked at once, then after 5, 10, 15, 20, 20 … s.

        Raises TrackingNotReadyError after ``within`` seconds, TrackingRejectedError if the server rejects the request.
        """
        deadline = clock() + within
        for delay in _endless(READY_DELAYS_SECONDS):
            try:
                self._api.check_health()
                return
            except TrackingUnavailableError as error:
                left = deadline - clock()
                if left <= 0:
                    raise TrackingNotReadyError(
                        f"MLflow at {self.uri} was not ready within {within:.0f} s. Is it started, and is "
                        f"MLFLOW_TRACKING_URI right? Last answer: {error}"
                    ) from error
                pause = min(delay, left)
                log.warning("MLflow is not ready: %s. Next try in %.0f s.", error, pause)
                sleep(pause)

    def experiment(self, name: str) -> str:
        """Return the ID of the experiment with this name. Creates the experiment if there is none."""
        try:
            return self._find_experiment(name)
        except TrackingRejectedError as error:
            if error.code != NO_SUCH_RESOURCE:
                raise
        try:
            return member(self._post("experiments/create", {"name": name}), "experiment_id")
        except TrackingRejectedError as error:
            if error.code != "RESOURCE_ALREADY_EXISTS":
                raise
            # Another program created it first, or an earlier answer to us was lost.
            return self._find_experiment(name)

    def create_run(
        self,
        experiment_id: str,
        name: str,
        start: datetime,
        tags: Mapping[str, str] | None = None,
        *,
        creation: str | None = None,
    ) -> str:
        """Create a run in state RUNNING and return its ID.

        The run carries ``creation``, an ID unique to it, as a tag. After a failure that leaves open whether the server
        created the run (such as an answer that is incomplete), the run is searched by that tag first: a plain retry
        could create a second one. After a timeout the server may still be creating it, so for a minute the run is only
        searched. This also holds over several calls with the same ``creation``.
        """
        creation = creation or uuid.uuid4().hex
        labels = {**(tags or {}), CREATION_TAG: creation}
        body = {
            "experiment_id": experiment_id,
            "run_name": name,
            "start_time": milliseconds(start),
            "tags": [{"key": key, "value": value} for key, value in labels.items()],
        }

        def find_or_create() -> str:
            if creation in self._unconfirmed:
                found = self._search_run(experiment_id, creation)
                if found is not None:
                    return found
                if self._retry.clock() < self._unconfirmed[creation]:
                    raise TrackingUnavailableError(f"{self.uri} has not said yet whether it created run {name}")
            try:
                return member(self._api.post("runs/create", body), "run", "info", "run_id")
            except RequestNotProcessedError:
                raise
            except TrackingUnavailableError as error:
                settles = CREATION_SETTLES_SECONDS if isinstance(error, TrackingTimeoutError) else 0.0
                self._unconfirmed[creation] = self._retry.clock() + settles
                raise
            except TrackingRejectedError as error:
                if not 200 <= error.status < 300:
                    raise
                self._unconfirmed[creation] = self._retry.clock()
                raise TrackingUnavailableError(str(error)) from error

        return self._retry(find_or_create)

    def run(self, run_id: str) -> dict[str, Any]:
        """Return the run as MLflow describes it: its members ``info`` and ``data``, with its latest metrics."""
        answer = self._retry(lambda: self._api.get("runs/get", run_id=run_id))
        member(answer, "run", "info", "status")
        run: dict[str, Any] = answer["run"]
        return run

    def experiment_name(self, experiment_id: str) -> str:
        """Return the name of the experiment with this ID."""
        answer = self._retry(lambda: self._api.get("experiments/get", experiment_id=experiment_id))
        return member(answer, "experiment", "name")

    def find_run(self, experiment_id: str, creation: str) -> str | None:
        """Return the ID of the run that was created with this ``creation``, even if deleted; None if there is none."""
        return self._retry(lambda: self._search_run(experiment_id, creation))

    def log_batch(
        self, run_id: str, metrics: Sequence[Metric] = (), params: Mapping[str, object] | None = None
    ) -> None:
        """Log metrics and parameters, in as few requests as MLflow's limits allow.

        Raises ValuesRejectedError if MLflow itself rejects the values, another TrackingError for any other failure.
        """
        encoded = [metric.encode() for metric in metrics]
        texts = [{"key": fit_key(key), "value": param(value)} for key, value in (params or {}).items()]
        while encoded or texts:
            some, texts = texts[:MAX_PARAMS_PER_BATCH], texts[MAX_PARAMS_PER_BATCH:]
            room = MAX_ENTITIES_PER_BATCH - len(some)
            self._log(run_id, encoded[:room], some)
            encoded = encoded[room:]

    def end_run(self, run_id: str, status: RunStatus, end: datetime, *, within: float | None = None) -> None:
        """Set the run's status and end time. ``within`` is a timeout in seconds for the whole call."""
        body = {"run_id": run_id, "status": status.value, "end_time": milliseconds(end)}
        if within is None:
            self._post("runs/update", body)
            return
        clock = self._retry.clock
        until = clock() + within

        def update() -> None:
            self._retry(lambda: self._api.post("runs/update", body, timeout=until - clock()), until=until)

        # On a thread: resolving names and getting tokens have no timeout.
        updating = Bounded(update, "tracking-end")
        if not updating.wait(within):
            raise TrackingUnavailableError(f"{self.uri} did not accept the run's end within {within:.0f} s")
        updating.result()

    def _log(self, run_id: str, metrics: list[dict[str, Any]], params: list[dict[str, Any]]) -> None:
        try:
            self._log_once(run_id, metrics, params)
        except TrackingRejectedError as error:
            if error.status != 400 or not DUPLICATE.search(str(error)):
                raise
            self._log_apart(run_id, metrics, params, error)

    def _log_apart(
        self, run_id: str, metrics: list[dict[str, Any]], params: list[dict[str, Any]], error: TrackingRejectedError
    ) -> None:
        """Log the non-finite values one by one, after the rest. One that is rejected alone is a duplicate."""
        odd = [metric for metric in metrics if isinstance(metric["value"], str)]
        rest = [metric for metric in metrics if not isinstance(metric["value"], str)]
        if not odd:
            raise error
        if len(odd) == 1 and not rest and not params:
            log.debug("MLflow already has it: %s", error)
            return
        if rest or params:
            self._log_once(run_id, rest, params)
        for one in odd:
            self._log(run_id, [one], [])

    def _log_once(self, run_id: str, metrics: list[dict[str, Any]], params: list[dict[str, Any]]) -> None:
        body = {"run_id": run_id, **({"metrics": metrics} if metrics else {}), **({"params": params} if params else {})}
        try:
            self._post("runs/log-batch", body)
        except TrackingRejectedError as error:
            if error.is_final or error.status == TOO_LARGE:
                raise ValuesRejectedError(str(error), status=error.status, code=error.code) from error
            raise

    def _find_experiment(self, name: str) -> str:
        answer = self._retry(lambda: self._api.get("experiments/get-by-name", experiment_name=name))
        experiment_id = member(answer, "experiment", "experiment_id")
        if answer["experiment"].get("lifecycle_stage") == "deleted":
            raise TrackingError(f"The experiment {name!r} is deleted in MLflow. Restore it there, or use another name.")
        return experiment_id

    def _search_run(self, experiment_id: str, creation: str) -> str | None:
        query = {
            "experiment_ids": [experiment_id],
            "filter": f"tags.`{CREATION_TAG}` = '{creation}'",
            # Deleted runs too: a run that someone deleted must not be created again.
            "run_view_type": "ALL",
            "max_results": 1,
        }
        runs = self._api.post("runs/search", query).get("runs", [])
        return member(runs[0], "info", "run_id") if runs else None

    def _post(self, route: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._retry(lambda: self._api.post(route, body))


def _endless(delays: Sequence[float]) -> Iterator[float]:
    yield from delays
    while True:
        yield delays[-1]
