"""MLflow over its REST API, with requests alone: runs in any training container.

https://mlflow.org/docs/latest/rest-api.html. Requests that may be repeated safely are, on transient failures only.
``log-batch`` is one of them: the server drops exact duplicates. ``runs/create`` is not: see
`TrackingClient.create_run`.
"""

from __future__ import annotations

import logging
import math
import posixpath
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import requests
from requests.auth import AuthBase

from contract.events import RunStatus
from contract.settings import without_credentials
from trainer.errors import NeverSent, TrackingError, TrackingNotReady, TrackingRefused, TrackingUnavailable
from trainer.retry import Retry
from trainer.tokens import IdentityToken

log = logging.getLogger(__name__)

API = "/api/2.0/mlflow/"
CONNECT_TIMEOUT_SECONDS = 5.0
ANSWER_TIMEOUT_SECONDS = 30.0
READY_WITHIN_SECONDS = 120.0
READY_DELAYS_SECONDS = (5.0, 10.0, 15.0, 20.0)
TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})

MAX_METRICS_PER_BATCH = 1000
MAX_PARAMS_PER_BATCH = 100
MAX_KEY_LENGTH = 250
MAX_PARAM_LENGTH = 6000
# MLflow 2 takes no colon and MLflow 3 does; what both take is this.
UNFIT_FOR_KEYS = re.compile(r"[^\w\-. /]")
CREATION_TAG = "warmboard.creation"


@dataclass(frozen=True)
class Metric:
    """One value of one curve. ``timestamp`` is in milliseconds since 1970."""

    key: str
    value: float
    step: int
    timestamp: int

    def encode(self) -> dict[str, Any]:
        return {
            "key": fit_key(self.key),
            "value": number(self.value),
            "timestamp": self.timestamp,
            "step": self.step,
        }


def number(value: float) -> float | str:
    """The value as MLflow takes it. A bare NaN or Infinity would be stored as 0, and end the batch unnoticed."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return float(value)


def fit_key(key: str) -> str:
    """The key with what MLflow refuses replaced by ``_``: one bad key would make it refuse the whole batch."""
    key = UNFIT_FOR_KEYS.sub("_", key)[:MAX_KEY_LENGTH]
    # MLflow reads a key as a relative path, and wants its plain form.
    plain = posixpath.normpath(key) == key and not key.startswith(("/", ".."))
    return key if plain else re.sub("[/.]", "_", key) or "_"


def milliseconds(moment: datetime) -> int:
    """MLflow's time stamp of an aware datetime: milliseconds since 1970."""
    return round(moment.timestamp() * 1000)


class TrackingClient:
    """The calls that a training run needs, against one tracking server. Safe to use from several threads.

    Every method raises a TrackingError: TrackingUnavailable after the last attempt, TrackingRefused at once.
    """

    def __init__(
        self,
        uri: str,
        *,
        auth: AuthBase | None = None,
        session: requests.Session | None = None,
        retry: Retry | None = None,
    ) -> None:
        self._root = uri.rstrip("/")
        self.uri = without_credentials(self._root)
        self._auth = auth or IdentityToken(self.uri)
        self._session = session or requests.Session()
        self._retry = retry or Retry()

    def wait_until_ready(
        self,
        within: float = READY_WITHIN_SECONDS,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Returns once ``/health`` answers 200; asks at once, then after 5, 10, 15, 20, 20 … s.

        Raises TrackingNotReady after ``within`` seconds, TrackingRefused when the answer is a plain no.
        """
        deadline = clock() + within
        for delay in _endless(READY_DELAYS_SECONDS):
            try:
                self._request("GET", "/health")
                return
            except TrackingUnavailable as error:
                left = deadline - clock()
                if left <= 0:
                    raise TrackingNotReady(
                        f"MLflow at {self.uri} was not ready within {within:.0f} s. Is it started, and is "
                        f"MLFLOW_TRACKING_URI right? Last answer: {error}"
                    ) from error
                pause = min(delay, left)
                log.warning("MLflow is not ready: %s. Next try in %.0f s.", error, pause)
                sleep(pause)

    def experiment(self, name: str) -> str:
        """The ID of the experiment with this name; it is created if there is none."""
        try:
            return self._find_experiment(name)
        except TrackingRefused as error:
            if error.code != "RESOURCE_DOES_NOT_EXIST":
                raise
        try:
            return str(self._post("experiments/create", {"name": name})["experiment_id"])
        except TrackingRefused as error:
            if error.code != "RESOURCE_ALREADY_EXISTS":
                raise
            # Another trainer was quicker, or an answer to us was lost.
            return self._find_experiment(name)

    def create_run(self, experiment_id: str, name: str, start: datetime, tags: Mapping[str, str] | None = None) -> str:
        """The ID of a new run, in state RUNNING.

        A failure after which nobody knows whether the server made the run is not simply repeated, which could leave
        two: the run carries a tag of its own, and is looked for first.
        """
        creation = uuid.uuid4().hex
        labels = {"mlflow.source.name": "warmboard.trainer", **(tags or {}), CREATION_TAG: creation}
        body = {
            "experiment_id": experiment_id,
            "run_name": name,
            "start_time": milliseconds(start),
            "tags": [{"key": key, "value": value} for key, value in labels.items()],
        }

        def create_or_find() -> str:
            try:
                return str(self._once("runs/create", body)["run"]["info"]["run_id"])
            except NeverSent:
                raise
            except TrackingUnavailable:
                found = self._find_run(experiment_id, creation)
                if found is None:
                    raise
                return found

        return self._retry(create_or_find)

    def log_batch(
        self, run_id: str, metrics: Sequence[Metric] = (), params: Mapping[str, object] | None = None
    ) -> None:
        """Logs metrics and parameters, in as few requests as MLflow's limits allow."""
        encoded = [
            {"key": fit_key(key), "value": str(value)[:MAX_PARAM_LENGTH]} for key, value in (params or {}).items()
        ]
        for some in _chunks(encoded, MAX_PARAMS_PER_BATCH):
            self._post("runs/log-batch", {"run_id": run_id, "params": some})
        for chunk in _chunks([metric.encode() for metric in metrics], MAX_METRICS_PER_BATCH):
            self._post("runs/log-batch", {"run_id": run_id, "metrics": chunk})

    def end_run(self, run_id: str, status: RunStatus, end: datetime) -> None:
        self._post("runs/update", {"run_id": run_id, "status": status.value, "end_time": milliseconds(end)})

    def _find_experiment(self, name: str) -> str:
        def get() -> dict[str, Any]:
            return self._request("GET", f"{API}experiments/get-by-name", params={"experiment_name": name})

        experiment = self._retry(get)["experiment"]
        if experiment.get("lifecycle_stage") == "deleted":
            raise TrackingError(
                f"The experiment {name!r} is deleted in MLflow: restore it there, or choose another name."
            )
        return str(experiment["experiment_id"])

    def _find_run(self, experiment_id: str, creation: str) -> str | None:
        query = {
            "experiment_ids": [experiment_id],
            "filter": f"tags.`{CREATION_TAG}` = '{creation}'",
            "max_results": 1,
        }
        runs = self._post("runs/search", query).get("runs", [])
        return str(runs[0]["info"]["run_id"]) if runs else None

    def _post(self, route: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._retry(lambda: self._once(route, body))

    def _once(self, route: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._request("POST", f"{API}{route}", json=body)

    def _request(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        """One attempt. The object in the answer; empty where the answer is no JSON, as that of ``/health``."""
        try:
            answer = self._session.request(
                method,
                self._root + path,
                auth=self._auth,
                timeout=(CONNECT_TIMEOUT_SECONDS, ANSWER_TIMEOUT_SECONDS),
                # A redirect leads to a sign-in page, never to MLflow.
                allow_redirects=False,
                **arguments,
            )
        except requests.ConnectionError as error:
            kind = NeverSent if _no_connection(error) else TrackingUnavailable
            raise kind(f"no connection to {self.uri} ({_reason(error)})") from error
        except requests.Timeout as error:
            raise TrackingUnavailable(f"{self.uri}{path} did not answer in {ANSWER_TIMEOUT_SECONDS:.0f} s") from error
        except requests.RequestException as error:
            raise TrackingError(f"{self.uri}{path} can't be asked: {error}") from error
        return _content(answer, f"{method} {self.uri}{path}")


def _content(answer: requests.Response, what: str) -> dict[str, Any]:
    try:
        document = answer.json()
    except ValueError:
        document = {}
    if not isinstance(document, dict):
        document = {}
    if answer.status_code == 200:
        return document
    code = str(document.get("error_code", ""))
    text = str(document.get("message", "")) or answer.text[:200]
    message = f"{what}: HTTP {answer.status_code} {code} {text}".strip()
    if answer.status_code == 429:
        raise NeverSent(message)
    if answer.status_code in TRANSIENT_STATUSES:
        raise TrackingUnavailable(message)
    if answer.status_code in (401, 403):
        message += " (may this identity use the server? Does the server accept this host name: --allowed-hosts?)"
    raise TrackingRefused(message, status=answer.status_code, code=code)


def _no_connection(error: requests.ConnectionError) -> bool:
    """Whether the request certainly never left: refused, unresolved, or no connection in time."""
    if isinstance(error, requests.ConnectTimeout):
        return True
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return type(reason).__name__ in ("NewConnectionError", "NameResolutionError", "ConnectTimeoutError")


def _reason(error: Exception) -> str:
    inner = getattr(error.args[0], "reason", None) if error.args else None
    return str(inner or error).rsplit(": ", 1)[-1]


def _endless(delays: Sequence[float]) -> Iterator[float]:
    yield from delays
    while True:
        yield delays[-1]


def _chunks(items: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))
