"""Fetch: everything that charts need of one run, from an MLflow tracking server over REST.

https://mlflow.org/docs/latest/rest-api.html. One pooled session, a bounded number of requests at once, every history
read page by page.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import requests
from numpy.typing import NDArray
from requests.adapters import HTTPAdapter

from contract.settings import without_credentials
from workers.errors import PermanentError, TransientError

log = logging.getLogger(__name__)

PAGE_SIZE = 25_000
TIMEOUT = (5.0, 60.0)
MLFLOW_INFINITY = np.finfo(np.float64).max
"""MLflow's databases keep ±∞ as the largest float64."""


@dataclass(frozen=True)
class Curve:
    """One metric's history: ``steps`` ascending and unique (int64), ``values`` (float64, maybe not finite)."""

    steps: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class FetchedRun:
    """One run as the tracking server has it. Times are aware datetimes in UTC."""

    run_id: str
    experiment_name: str
    name: str
    status: str
    start_time: datetime | None
    end_time: datetime | None
    params: Mapping[str, str]
    curves: Mapping[str, Curve]


class Fetcher:
    """Reads runs from one tracking server.

    ``transport`` takes the place of the network in tests. Every method raises TransientError or PermanentError.
    """

    def __init__(self, tracking_uri: str, *, concurrency: int = 8, transport: HTTPAdapter | None = None) -> None:
        self._root = f"{tracking_uri}/api/2.0/mlflow/"
        self._shown = without_credentials(tracking_uri)
        self._concurrency = concurrency
        self._session = requests.Session()
        adapter = transport or HTTPAdapter(pool_maxsize=concurrency)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, adapter)

    def fetch(self, run_id: str, alive: Callable[[], None] = lambda: None) -> FetchedRun:
        """The whole run: one request for the run, one for its experiment, one or more for each metric.

        ``alive`` is called after each metric, so that a caller can say that a long fetch goes on.
        """
        run = self._get("runs/get", run_id=run_id)["run"]
        info, data = run["info"], run.get("data", {})
        if info.get("lifecycle_stage") == "deleted":
            raise PermanentError(f"run {run_id} is deleted in MLflow")
        experiment = self._get("experiments/get", experiment_id=info["experiment_id"])["experiment"]
        keys = [metric["key"] for metric in data.get("metrics", [])]
        with ThreadPoolExecutor(self._concurrency, thread_name_prefix="fetch") as pool:
            curves = {}
            for key, curve_ in zip(keys, pool.map(lambda key: self._curve(run_id, key), keys), strict=True):
                curves[key] = curve_
                alive()
        return FetchedRun(
            run_id=run_id,
            experiment_name=experiment["name"],
            name=info.get("run_name", ""),
            status=info["status"],
            start_time=_moment(info.get("start_time")),
            end_time=_moment(info.get("end_time")),
            params={param["key"]: param["value"] for param in data.get("params", [])},
            curves=curves,
        )

    def _curve(self, run_id: str, key: str) -> Curve:
        points = list(self._points(run_id, key))
        return curve(
            steps=[int(point.get("step", 0)) for point in points],
            values=[float(point["value"]) for point in points],
            timestamps=[int(point["timestamp"]) for point in points],
        )

    def _points(self, run_id: str, key: str) -> Iterator[dict[str, Any]]:
        page: dict[str, Any] = {}
        while True:
            page = self._get(
                "metrics/get-history",
                run_id=run_id,
                metric_key=key,
                max_results=PAGE_SIZE,
                page_token=page.get("next_page_token"),
            )
            yield from page.get("metrics", [])
            if not page.get("next_page_token"):
                return

    def _get(self, path: str, **query: Any) -> dict[str, Any]:
        try:
            answer = self._session.get(self._root + path, params=query, timeout=TIMEOUT, allow_redirects=False)
        except requests.RequestException as error:
            raise TransientError(f"MLflow at {self._shown} does not answer: {error}") from error
        if answer.status_code == 429 or answer.status_code >= 500:
            raise TransientError(f"MLflow answered {answer.status_code} to {path}")
        if answer.status_code != 200:
            raise PermanentError(f"MLflow answered {answer.status_code} to {path}: {_reason(answer)}")
        try:
            document: dict[str, Any] = answer.json()
        except ValueError as error:
            raise PermanentError(f"{self._shown} did not answer JSON to {path}: is it an MLflow server?") from error
        return document


def curve(steps: list[int], values: list[float], timestamps: list[int]) -> Curve:
    """Points in any order → one value a step: of points that share a step, the last by timestamp."""
    step, value = np.asarray(steps, dtype=np.int64), np.asarray(values, dtype=np.float64)
    value = np.where(np.abs(value) >= MLFLOW_INFINITY, np.copysign(np.inf, value), value)
    order = np.lexsort((np.asarray(timestamps, dtype=np.int64), step))
    step, value = step[order], value[order]
    last = np.append(step[1:] != step[:-1], True) if len(step) else np.zeros(0, dtype=bool)
    return Curve(step[last], value[last])


def _moment(milliseconds: Any) -> datetime | None:
    """None for no time, and for one beyond the calendar: some client took another unit."""
    try:
        return datetime.fromtimestamp(int(milliseconds) / 1000, UTC) if milliseconds else None
    except (ValueError, OverflowError):
        log.warning("a time of %s ms is beyond the calendar and left out", milliseconds)
        return None


def _reason(answer: requests.Response) -> str:
    try:
        return str(answer.json().get("message", ""))[:500]
    except (ValueError, AttributeError):
        return answer.text[:200]
