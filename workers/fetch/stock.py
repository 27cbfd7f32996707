"""Fetch a run from a stock MLflow server: one request for the run, one for its experiment, one or more per metric.

Metrics are requested concurrently, those of a page's first charts before the others.
"""

from __future__ import annotations

import copy
import json
import logging
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import orjson

from warmboard.contract.catalogue import is_histogram
from workers.errors import DeletedError, NotMlflowError, PermanentError
from workers.fetch.api import API, MlflowApi, MlflowStatusError
from workers.fetch.body import Body
from workers.fetch.incremental import goes_on, has_moved
from workers.history.bounded import TooLargeError, loads
from workers.history.charts import charts_of
from workers.history.fetched import FetchedRun, described
from workers.history.linked import datasets_of, models_of
from workers.history.points import Indices, Point, Points, Values, latest_points

log = logging.getLogger(__name__)
SHORT_HISTORY = "ajax-api/2.0/mlflow/metrics/get-history-bulk"
"""The route of MLflow's own pages: a fifth less work than get-history. It silently stops after SHORT points."""
SHORT = 25_000
PAGE_SIZE = 25_000
PIECE = 2**20
LONGEST_POINT = 2**16
"""In bytes. A metric's key has at most 250 characters."""
ALIVE_SECONDS = 2.0
RUNS_PAGE_SIZE = 200
"""Small, because each run comes with all its latest metrics and parameters."""
MOST_PAGES = 10_000
"""Of an experiment's runs."""
MOST_MODELS = 50
"""The max number of a run's models whose names and metrics are requested: MLflow's own max is 50 for one page."""

ODD = (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError)
"""Errors that an answer in a wrong shape causes."""

LEADING = 8
"""The max number of metrics that are requested before the others: one round, by default."""
SECTIONS = ("training", "other", "system")
"""Of a page's charts, in its order."""
FIRST_CHARTS_SECONDS = 1.0
"""If the other metrics will take longer than this, the first charts are handed out before."""

Columns = tuple[Indices, Values, Indices]
TakeRun = Callable[[FetchedRun], None]


@dataclass
class _Known:
    """What all fetches from one server know of it."""

    has_short_history: bool = True


class StockServer:
    """Reads runs by MLflow's own routes. Every method raises TransientError or PermanentError."""

    def __init__(self, api: MlflowApi, concurrency: int) -> None:
        self._api = api
        self._concurrency = concurrency
        self._known = _Known()

    def within(self, api: MlflowApi) -> StockServer:
        """The server for the requests of one fetch, by an API with their budget."""
        server = copy.copy(self)
        server._api = api
        return server

    def fetch(
        self, run_id: str, kept: FetchedRun | None, alive: Callable[[], None], first_charts: TakeRun = lambda run: None
    ) -> FetchedRun:
        """Fetch the whole run. Metrics that have not moved since ``kept`` are not requested. ``first_charts`` gets the
        run with its leading metrics, if the others will take longer than FIRST_CHARTS_SECONDS.
        """
        try:
            return self._fetch(run_id, kept, alive, first_charts)
        except ODD as error:
            raise NotMlflowError(f"MLflow described run {run_id} in a shape that is not MLflow's: {error!r}") from error

    def _fetch(
        self, run_id: str, kept: FetchedRun | None, alive: Callable[[], None], first_charts: TakeRun
    ) -> FetchedRun:
        run = self._api.get(API + "runs/get", "run", run_id=run_id)
        info, data = run["info"], run.get("data", {})
        if info.get("lifecycle_stage") == "deleted":
            raise DeletedError(f"run {run_id} is deleted in MLflow")
        experiment = self._experiment("get", experiment_id=info["experiment_id"])
        latest = latest_points(data.get("metrics", []))
        known = kept.points if kept and goes_on(kept, info["status"]) else {}
        head = replace(
            described(run, experiment["name"]),
            experiment_id=info["experiment_id"],
            user=info.get("user_id", ""),
            datasets=datasets_of(run),
        )

        def of_first(points: Mapping[str, Points]) -> None:
            first_charts(replace(head, points=points, pending=len(latest) - len(points)))

        points = self._points(run_id, latest, known, alive, of_first)
        return replace(head, points=points, models=models_of(run, self._logged_models(run)))

    def search_runs(self, experiment_name: str) -> Iterator[str]:
        """The IDs of an experiment's runs, oldest first, so that a new run shifts no page.

        Raises PermanentError if MLflow has no such experiment.
        """
        try:
            experiment = self._experiment("get-by-name", experiment_name=experiment_name)
        except MlflowStatusError as error:
            if error.is_gone:
                raise PermanentError(f"MLflow has no experiment {experiment_name!r}") from error
            raise
        asked: dict[str, Any] = {
            "experiment_ids": [experiment["experiment_id"]],
            "max_results": RUNS_PAGE_SIZE,
            "order_by": ["attributes.start_time ASC"],
        }
        for _ in range(MOST_PAGES):
            page = self._api.post(API + "runs/search", asked)
            try:
                found = [str(run["info"]["run_id"]) for run in page.get("runs", [])]
            except ODD as error:
                raise NotMlflowError(f"MLflow listed runs in a shape that is not MLflow's: {error!r}") from error
            yield from found
            before, asked["page_token"] = asked.get("page_token"), page.get("next_page_token")
            if not asked["page_token"]:
                return
            if asked["page_token"] == before:
                break
        raise PermanentError(f"the pages of experiment {experiment_name!r} never end")

    def _logged_models(self, run: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The models whose source is the run. MLflow 2 has none: there a run has no outputs."""
        if "outputs" not in run:
            return []
        info = run["info"]
        asked = {
            "experiment_ids": [info["experiment_id"]],
            "filter": f"source_run_id = '{info['run_id']}'",
            "max_results": MOST_MODELS,
        }
        try:
            models: list[dict[str, Any]] = self._api.post(API + "logged-models/search", asked).get("models", [])
        except (PermanentError, NotMlflowError) as error:
            # Other servers answer runs/get alike and have no models; a role may read runs and no models.
            log.info("MLflow gives no models of run %s: %s", info["run_id"], error)
            return []
        return models

    def _experiment(self, how: str, **which: str) -> dict[str, Any]:
        experiment: dict[str, Any] = self._api.get(f"{API}experiments/{how}", "experiment", **which)
        return experiment

    def _points(
        self,
        run_id: str,
        latest: Mapping[str, Point],
        known: Mapping[str, Points],
        alive: Callable[[], None],
        of_first: Callable[[Mapping[str, Points]], None],
    ) -> dict[str, Points]:
        found = {key: known[key] for key, point in latest.items() if key in known and not has_moved(known[key], point)}
        asked = [key for key in latest if key not in found]
        leading = _leading(asked) if not known else []
        rest = [key for key in asked if key not in leading]
        begin = time.monotonic()
        pool = ThreadPoolExecutor(self._concurrency, thread_name_prefix="fetch")

        def submit(key: str) -> Future[Points]:
            # Each with a context of its own, which has what log messages say of the work.
            return pool.submit(copy_context().run, self._points_of, run_id, key, latest[key])

        def take(futures: Mapping[str, Future[Points]]) -> None:
            for key, future in futures.items():
                # A metric of a million points takes minutes.
                while not wait([future], ALIVE_SECONDS).done:
                    alive()
                found[key] = future.result()
                alive()

        try:
            first = {key: submit(key) for key in leading}
            others = {key: submit(key) for key in rest}
            take(first)
            if first and rest and (time.monotonic() - begin) * len(rest) / len(first) > FIRST_CHARTS_SECONDS:
                # Meanwhile the others are requested.
                of_first({key: found[key] for key in leading if len(found[key])})
            take(others)
        finally:
            # After a failure, don't send the remaining requests.
            pool.shutdown(cancel_futures=True)
        return {key: found[key] for key in latest if len(found[key])}

    def _points_of(self, run_id: str, key: str, latest: Point) -> Points:
        columns = self._short_history(run_id, key) if latest[0] < SHORT else None
        if columns is None:
            steps, values, timestamps = zip(*self._pages(run_id, key), strict=True)
            columns = np.concatenate(steps), np.concatenate(values), np.concatenate(timestamps)
        return Points.of(*columns)

    def _short_history(self, run_id: str, key: str) -> Columns | None:
        """All points of a metric with fewer than SHORT points; None if get-history must be used."""
        if not self._known.has_short_history:
            return None
        try:
            with self._api.open(SHORT_HISTORY, run_id=run_id, metric_key=key, max_results=SHORT) as body:
                points = _lenient(body.text())["metrics"]
        except (PermanentError, NotMlflowError, KeyError, TypeError) as error:
            # Without an error code of MLflow's, a proxy has answered, which lets only /api/ through.
            self._known.has_short_history = isinstance(error, MlflowStatusError) and bool(error.code)
            return None
        return _columns(points) if len(points) < SHORT else None

    def _pages(self, run_id: str, key: str) -> Iterator[Columns]:
        token = None
        while True:
            with self._api.open(
                API + "metrics/get-history", run_id=run_id, metric_key=key, max_results=PAGE_SIZE, page_token=token
            ) as body:
                token = yield from _page(body)
            if not token:
                return


def _leading(keys: Iterable[str]) -> list[str]:
    """The metrics of the charts that a page begins with."""
    charts = charts_of(key for key in keys if not is_histogram(key))
    sections = [[chart for chart in charts if chart["section"] == section] for section in SECTIONS]
    return [key for chart in next(filter(None, sections), []) for key in chart["metrics"]][:LEADING]


def _page(body: Body) -> Generator[Columns, None, str | None]:
    """Yield a page's points and return the next page's token.

    Parsed in pieces, because MLflow 2.9.2 puts everything on one page. A point is a flat object and no metric key may
    hold a brace, so every closing brace except the last ends a point.
    """
    text = body.read(PIECE)
    while more := body.read(PIECE):
        end = text.rfind(b"}") + 1
        if end:
            yield _columns(loads(text[:end] + b"]}")["metrics"])
        elif len(text) > PIECE + LONGEST_POINT:
            raise TooLargeError(f"a point is longer than {LONGEST_POINT:,} bytes")
        text = b'{"metrics": [' * bool(end) + (text[end:] + more).lstrip(b", \r\n")
    page = loads(text)
    yield _columns(page.get("metrics", []))
    token: str | None = page.get("next_page_token")
    return token


def _columns(points: list[dict[str, Any]]) -> Columns:
    return (
        np.array([point.get("step", 0) for point in points], dtype=np.int64),
        np.array([point["value"] for point in points], dtype=np.float64),
        np.array([point["timestamp"] for point in points], dtype=np.int64),
    )


def _lenient(text: bytes) -> Any:
    """Parse JSON in which Flask may write a bare NaN."""
    try:
        return loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)
