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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Self

import requests
from requests.auth import AuthBase

from warmboard.bounded import Bounded
from warmboard.contract.events import RunStatus
from warmboard.contract.settings import without_credentials
from warmboard.errors import (
    UNKNOWN,
    NeverSent,
    NoAnswer,
    TrackingError,
    TrackingNotReady,
    TrackingRefused,
    TrackingUnavailable,
    ValuesRefused,
)
from warmboard.settings import Settings
from warmboard.tracking.auth import credentials
from warmboard.tracking.retry import Retry

log = logging.getLogger(__name__)

API = "/api/2.0/mlflow/"
CONNECT_TIMEOUT_SECONDS = 5.0
ANSWER_TIMEOUT_SECONDS = 30.0
READY_WITHIN_SECONDS = 120.0
READY_DELAYS_SECONDS = (5.0, 10.0, 15.0, 20.0)
TRANSIENT_STATUSES = frozenset({408, 425, 429})
NOT_IMPLEMENTED = 501

MAX_ENTITIES_PER_BATCH = 1000
MAX_METRICS_PER_BATCH = 1000
MAX_PARAMS_PER_BATCH = 100
MAX_KEY_LENGTH = 250
MAX_PARAM_LENGTH = 6000
# MLflow 2 takes no colon and MLflow 3 does; what both take is this.
UNFIT_FOR_KEYS = re.compile(r"[^\w\-. /]")
# No database takes these: a NUL, and half characters.
UNFIT_FOR_TEXT = re.compile("[\0\ud800-\udfff]")
TOO_LARGE = 413
CREATION_SETTLES_SECONDS = 60.0
"""So long after a creation that was not answered its run may still turn up."""
CREATION_TAG = "warmboard.creation"
# MLflow 2 does not know a NaN again that it has: SQLite, PostgreSQL and MySQL say so.
THERE_ALREADY = re.compile(
    r"UNIQUE constraint failed: metrics\b"
    r"|duplicate key value violates unique constraint \W*metric"
    r"|Duplicate entry .* for key \W*metrics\.PRIMARY"
)


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


@dataclass(frozen=True)
class Batch:
    """Values on their way to MLflow. Its length is their number."""

    metrics: Sequence[Metric] = ()
    params: Mapping[str, object] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.metrics) + len(self.params)


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
    plain = posixpath.normpath(key) == key and key != "." and not key.startswith(("/", ".."))
    return key if plain else re.sub("[/.]", "_", key) or "_"


def param(value: object) -> str:
    """A parameter's value as MLflow takes it: text without what databases refuse, of at most 6,000 characters."""
    return UNFIT_FOR_TEXT.sub("_", str(value)[:MAX_PARAM_LENGTH])


def milliseconds(moment: datetime) -> int:
    """MLflow's time stamp of an aware datetime: milliseconds since 1970."""
    return round(moment.timestamp() * 1000)


class TrackingClient:
    """The calls that a training run needs, against one tracking server. Safe to use from several threads.

    Every method raises a TrackingError: TrackingUnavailable after the last attempt, TrackingRefused at once.
    Credentials in ``uri`` are used where ``auth`` is not given; ``self.uri`` and messages are without them.
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
        self._auth = auth or credentials(uri)
        self._session = session or requests.Session()
        self._retry = retry or Retry()
        # Creation → until when its run may turn up though it is not there yet.
        self._perhaps_created: dict[str, float] = {}

    @classmethod
    def of(cls, settings: Settings, **options: Any) -> Self:
        """The client for MLFLOW_TRACKING_URI with its credentials. Raises warmboard.contract.settings.SettingError."""
        auth = credentials(
            settings.mlflow_tracking_uri,
            settings.mlflow_tracking_username,
            settings.mlflow_tracking_password,
            settings.mlflow_tracking_token,
        )
        return cls(settings.mlflow_tracking_uri, auth=auth, **options)

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
            if error.code != UNKNOWN:
                raise
        try:
            return _text(self._post("experiments/create", {"name": name}), "experiment_id")
        except TrackingRefused as error:
            if error.code != "RESOURCE_ALREADY_EXISTS":
                raise
            # Another trainer was quicker, or an answer to us was lost.
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
        """The ID of a new run, in state RUNNING.

        A failure after which nobody knows whether the server made the run (an answer that is cut or can't be read is
        one) is not simply repeated, which could leave two: the run carries ``creation`` as a tag, unique to it, and is
        looked for first. Where no answer came the server may still be at it: for a minute the run is only looked for.
        That holds over several calls with the same ``creation`` too.
        """
        creation = creation or uuid.uuid4().hex
        labels = {"mlflow.source.name": "warmboard.trainer", **(tags or {}), CREATION_TAG: creation}
        body = {
            "experiment_id": experiment_id,
            "run_name": name,
            "start_time": milliseconds(start),
            "tags": [{"key": key, "value": value} for key, value in labels.items()],
        }

        def find_or_create() -> str:
            if creation in self._perhaps_created:
                found = self._look_for(experiment_id, creation)
                if found is not None:
                    return found
                if self._retry.clock() < self._perhaps_created[creation]:
                    raise TrackingUnavailable(f"{self.uri} has not said yet whether it has made run {name}")
            try:
                return _text(self._once("runs/create", body), "run", "info", "run_id")
            except NeverSent:
                raise
            except TrackingUnavailable as error:
                settles = CREATION_SETTLES_SECONDS if isinstance(error, NoAnswer) else 0.0
                self._perhaps_created[creation] = self._retry.clock() + settles
                raise
            except TrackingRefused as error:
                if not 200 <= error.status < 300:
                    raise
                self._perhaps_created[creation] = self._retry.clock()
                raise TrackingUnavailable(str(error)) from error

        return self._retry(find_or_create)

    def find_run(self, experiment_id: str, creation: str) -> str | None:
        """The ID of the run that was created with this ``creation``, deleted or not; None if there is none."""
        return self._retry(lambda: self._look_for(experiment_id, creation))

    def log_batch(
        self, run_id: str, metrics: Sequence[Metric] = (), params: Mapping[str, object] | None = None
    ) -> None:
        """Logs metrics and parameters, in as few requests as MLflow's limits allow.

        Raises ValuesRefused for what MLflow itself will not have; what stands in between is another TrackingError.
        """
        encoded = [metric.encode() for metric in metrics]
        texts = [{"key": fit_key(key), "value": param(value)} for key, value in (params or {}).items()]
        while encoded or texts:
            some, texts = texts[:MAX_PARAMS_PER_BATCH], texts[MAX_PARAMS_PER_BATCH:]
            room = MAX_ENTITIES_PER_BATCH - len(some)
            self._log(run_id, encoded[:room], some)
            encoded = encoded[room:]

    def end_run(self, run_id: str, status: RunStatus, end: datetime, *, within: float | None = None) -> None:
        """Tells MLflow how and when the run ended. Gives up after ``within`` seconds, if given, whatever hangs."""
        body = {"run_id": run_id, "status": status.value, "end_time": milliseconds(end)}
        if within is None:
            self._post("runs/update", body)
            return
        until = self._retry.clock() + within
        # Names and tokens are looked up without any time limit.
        telling = Bounded(
            lambda: self._retry(lambda: self._once("runs/update", body, until=until), until=until), "tracking-end"
        )
        if not telling.wait(within):
            raise TrackingUnavailable(f"{self.uri} did not take the run's end within {within:.0f} s")
        telling.result()

    def _log(self, run_id: str, metrics: list[dict[str, Any]], params: list[dict[str, Any]]) -> None:
        try:
            self._log_once(run_id, metrics, params)
        except TrackingRefused as error:
            if error.status != 400 or not THERE_ALREADY.search(str(error)):
                raise
            self._log_apart(run_id, metrics, params, error)

    def _log_apart(
        self, run_id: str, metrics: list[dict[str, Any]], params: list[dict[str, Any]], error: TrackingRefused
    ) -> None:
        """What MLflow 2 does not know again takes nothing with it. By itself, it is there already."""
        odd = [metric for metric in metrics if isinstance(metric["value"], str)]
        rest = [metric for metric in metrics if not isinstance(metric["value"], str)]
        if not odd:
            raise error
        if len(odd) == 1 and not rest and not params:
            log.debug("MLflow has it already: %s", error)
            return
        if rest or params:
            self._log_once(run_id, rest, params)
        for one in odd:
            self._log(run_id, [one], [])

    def _log_once(self, run_id: str, metrics: list[dict[str, Any]], params: list[dict[str, Any]]) -> None:
        body = {"run_id": run_id, **({"metrics": metrics} if metrics else {}), **({"params": params} if params else {})}
        try:
            self._post("runs/log-batch", body)
        except TrackingRefused as error:
            if error.is_verdict or error.status == TOO_LARGE:
                raise ValuesRefused(str(error), status=error.status, code=error.code) from error
            raise

    def _find_experiment(self, name: str) -> str:
        def get() -> dict[str, Any]:
            return self._request("GET", f"{API}experiments/get-by-name", params={"experiment_name": name})

        answer = self._retry(get)
        experiment_id = _text(answer, "experiment", "experiment_id")
        if answer["experiment"].get("lifecycle_stage") == "deleted":
            raise TrackingError(
                f"The experiment {name!r} is deleted in MLflow: restore it there, or choose another name."
            )
        return experiment_id

    def _look_for(self, experiment_id: str, creation: str) -> str | None:
        query = {
            "experiment_ids": [experiment_id],
            "filter": f"tags.`{CREATION_TAG}` = '{creation}'",
            # Who deletes a run does not want it made anew.
            "run_view_type": "ALL",
            "max_results": 1,
        }
        runs = self._once("runs/search", query).get("runs", [])
        return _text(runs[0], "info", "run_id") if runs else None

    def _post(self, route: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._retry(lambda: self._once(route, body))

    def _once(self, route: str, body: Mapping[str, Any], *, until: float | None = None) -> dict[str, Any]:
        return self._request("POST", f"{API}{route}", until=until, json=body)

    def _request(self, method: str, path: str, *, until: float | None = None, **arguments: Any) -> dict[str, Any]:
        """One attempt. The object in the answer; empty for ``/health``, whose answer is none."""
        timeouts = self._timeouts(until)
        try:
            answer = self._session.request(
                method,
                self.uri + path,
                auth=self._auth,
                timeout=timeouts,
                # A redirect leads to a sign-in page, never to MLflow.
                allow_redirects=False,
                **arguments,
            )
        except requests.ConnectionError as error:
            kind = NeverSent if _no_connection(error) else TrackingUnavailable
            raise kind(f"no connection to {self.uri} ({_reason(error)})") from error
        except requests.Timeout as error:
            raise NoAnswer(f"{self.uri}{path} did not answer in {timeouts[1]:.0f} s") from error
        except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError) as error:
            raise TrackingUnavailable(f"the answer of {self.uri}{path} is cut or broken ({_reason(error)})") from error
        except requests.RequestException as error:
            raise TrackingError(f"{self.uri}{path} can't be asked: {error}") from error
        return _content(answer, f"{method} {self.uri}{path}", wants_object=path.startswith(API))

    def _timeouts(self, until: float | None) -> tuple[float, float]:
        left = ANSWER_TIMEOUT_SECONDS if until is None else max(0.1, until - self._retry.clock())
        return min(CONNECT_TIMEOUT_SECONDS, left), min(ANSWER_TIMEOUT_SECONDS, left)


def _content(answer: requests.Response, what: str, *, wants_object: bool) -> dict[str, Any]:
    try:
        document = answer.json()
    except (RecursionError, ValueError):
        document = None
    is_object = isinstance(document, dict)
    if answer.status_code == 200 and (is_object or not wants_object):
        return document if is_object else {}
    code, text = (str(document.get(name, "")) for name in ("error_code", "message")) if is_object else ("", "")
    raise _error(answer, what, code, text or answer.text[:200])


def _error(answer: requests.Response, what: str, code: str, text: str) -> TrackingError:
    status = answer.status_code
    message = f"{what}: HTTP {status} {code} {text}".strip()
    if status in TRANSIENT_STATUSES or (500 <= status < 600 and status != NOT_IMPLEMENTED):
        kind = {429: NeverSent, 504: NoAnswer, 524: NoAnswer}.get(status, TrackingUnavailable)
        return kind(message, retry_after=_pause(answer.headers.get("Retry-After", "")))
    if status == 200 and answer.text.lstrip()[:1] in ("", "{"):
        return TrackingUnavailable(f"{what}: the answer is cut or broken: {text}")
    if status == 200:
        message = f"{what}: this is no answer of MLflow (a sign-in page?). Is MLFLOW_TRACKING_URI right? {text}"
    if status in (401, 403):
        message += " (may this identity use the server? Does the server accept this host name: --allowed-hosts?)"
    return TrackingRefused(message, status=status, code=code)


def _pause(text: str) -> float:
    """Seconds of a ``Retry-After``: a number or a date; 0 where there is none."""
    try:
        return max(0.0, float(text)) if text.strip().isdecimal() else _until(parsedate_to_datetime(text))
    except ValueError:
        return 0.0


def _until(moment: datetime) -> float:
    return max(0.0, moment.timestamp() - time.time())


def _text(document: Mapping[str, Any], *path: str) -> str:
    """The member at this path of an answer. Raises TrackingRefused: without it, it is no answer of MLflow."""
    value: Any = document
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    if value is None or isinstance(value, dict):
        raise TrackingRefused(f"an answer without {'.'.join(path)} is none of MLflow: {document!r:.200}", status=200)
    return str(value)


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
