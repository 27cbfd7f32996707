"""A fake MLflow server: a transport that answers from memory, like a stock server or like ours."""

from __future__ import annotations

import gzip
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import urllib3
import zstandard

Points = Sequence[tuple[int, float | str, int]]
"""One metric's points: (step, value as MLflow writes it, timestamp)."""
RUN_ID = "0123456789abcdef0123456789abcdef"
EXPERIMENT = "two-tower"
LARGEST = 1.7976931348623157e308
LONG = 1000
"""A page with more points is written by another library."""
HTML = b"<!doctype html><title>404 Not Found</title>"


class FakeMlflow(urllib3.PoolManager):
    """Answers the requests of `workers.fetch` for one run, like a stock server unless ``bulk``.

    Tests may change its attributes. ``failures`` are the status codes of the first responses, except to the request
    for the version (``version_failures``). ``pages`` is False for MLflow 2.9.2, which puts everything on one page.
    ``short_history`` is False behind a proxy that lets only paths under /api/ through.
    """

    def __init__(
        self,
        metrics: Mapping[str, Points],
        params: Mapping[str, str] | None = None,
        *,
        status: str = "FINISHED",
        lifecycle_stage: str = "active",
        page_size: int = 1000,
        pages: bool = True,
        bulk: bool = False,
        short_history: bool = True,
        failures: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.metrics, self.params, self.status, self.lifecycle_stage = (
            dict(metrics),
            params or {},
            status,
            lifecycle_stage,
        )
        self.page_size, self.pages, self.bulk, self.short_history = page_size, pages, bulk, short_history
        self.failures, self.version_failures = list(failures), list[int]()
        self.start_time: int | None = 1_767_349_700_000
        self.tags = {"mlflow.user": "ada"}
        self.linked: dict[str, Any] = {}
        """The members ``inputs`` and ``outputs`` of runs/get, which MLflow 3 has."""
        self.models: list[dict[str, Any]] | None = None
        """The answer of logged-models/search; None if the server has no such route."""
        self.normalised: dict[str, Any] = {}
        """The members ``datasets`` and ``models`` of a bulk response; a server of an older version has none."""
        self.cut_at: int | None = None
        """The length at which a bulk response is cut off, in bytes."""
        self.requests: list[str] = []
        self.queries: list[dict[str, str]] = []
        self.headers_seen: list[Mapping[str, str]] = []

    def urlopen(self, method: str, url: str, redirect: bool = True, **kw: Any) -> urllib3.HTTPResponse:  # type: ignore[override]
        split = urlsplit(url)
        query = {name: values[0] for name, values in parse_qs(split.query).items()}
        query |= json.loads(kw.get("body") or b"{}")
        self.requests.append(split.path)
        self.queries.append(query)
        self.headers_seen.append(kw["headers"])
        status, body, headers = self._answer(split.path, query, kw["headers"]["Accept-Encoding"])
        return urllib3.HTTPResponse(
            io.BytesIO(body),
            headers,
            status,
            preload_content=kw["preload_content"],
            decode_content=kw["decode_content"],
        )

    def asked(self, end: str) -> list[dict[str, str]]:
        """The queries of all requests whose path ends with ``end``."""
        return [query for path, query in zip(self.requests, self.queries, strict=True) if path.endswith(end)]

    def _answer(self, path: str, query: Mapping[str, Any], accept: str) -> tuple[int, bytes, dict[str, str]]:
        failures = self.version_failures if path.endswith("/warmboard/version") else self.failures
        if failures:
            return _json(failures.pop(0), {"error_code": "X", "message": "as the test wants it"})
        if "/api/2.0/warmboard/" in path:
            return self._of_ours(path.partition("/warmboard/")[2], query, accept)
        if path.endswith("/ajax-api/2.0/mlflow/metrics/get-history-bulk"):
            return self._short_history(query) if self.short_history else (404, HTML, {})
        name = path.partition("/api/2.0/mlflow/")[2]
        if name == "logged-models/search" and self.models is None:
            return 404, HTML, {}
        if query.get("run_id", RUN_ID) != RUN_ID:
            return _unknown(f"Run with id={query['run_id']} not found")
        if query.get("experiment_name", EXPERIMENT) != EXPERIMENT:
            return _unknown("Could not find experiment")
        return _json(200, getattr(self, f"_{name.replace('/', '_').replace('-', '_')}")(query))

    def _runs_get(self, _: Mapping[str, str]) -> dict[str, Any]:
        metrics = [
            {"key": key, "value": value, "step": step, "timestamp": timestamp}
            for key, (step, value, timestamp) in self._latest().items()
        ]
        params = [{"key": key, "value": value} for key, value in self.params.items()]
        tags = [{"key": key, "value": value} for key, value in self.tags.items()]
        data = {"metrics": metrics, "params": params, "tags": tags}
        return {"run": {"info": self._info(), "data": data, **self.linked}}

    def _logged_models_search(self, query: Mapping[str, Any]) -> dict[str, Any]:
        assert query["filter"] == f"source_run_id = '{RUN_ID}'"
        return {"models": self.models}

    def _experiments_get(self, _: Mapping[str, str]) -> dict[str, Any]:
        return {"experiment": {"experiment_id": "1", "name": EXPERIMENT}}

    _experiments_get_by_name = _experiments_get

    def _experiments_search(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return {"experiments": [{"experiment_id": "1", "name": EXPERIMENT}]}

    def _runs_search(self, query: Mapping[str, Any]) -> dict[str, Any]:
        """Three runs, on two pages."""
        begin = int(query.get("page_token") or 0)
        page: dict[str, Any] = {
            "runs": [{"info": {"run_id": str(number) * 32}} for number in range(3)[begin : begin + 2]]
        }
        return {**page, "next_page_token": "2"} if begin == 0 else page

    def _metrics_get_history(self, query: Mapping[str, str]) -> dict[str, Any]:
        key, points = query["metric_key"], self.metrics.get(query["metric_key"], [])
        begin = int(query.get("page_token", 0))
        end = begin + min(self.page_size, int(query["max_results"])) if self.pages else len(points)
        page: dict[str, Any] = {"metrics": [_point(key, point) for point in points[begin:end]]}
        return {**page, "next_page_token": str(end)} if end < len(points) else page

    def _short_history(self, query: Mapping[str, str]) -> tuple[int, bytes, dict[str, str]]:
        key, points = query["metric_key"], self.metrics.get(query["metric_key"], [])
        bare = [(step, float(value), time) for step, value, time in points[: int(query["max_results"])]]
        return 200, json.dumps({"metrics": [_point(key, point) for point in bare]}).encode(), {}

    def _of_ours(self, path: str, query: Mapping[str, str], accept: str) -> tuple[int, bytes, dict[str, str]]:
        if not self.bulk:
            return 404, HTML, {}
        if path == "version":
            return _json(200, {"history": 1, "mlflow": "3.17.2"})
        if RUN_ID not in path:
            return _unknown("Run with id=x not found")
        if self.lifecycle_stage == "deleted":
            return _unknown(f"Run with id={RUN_ID} is deleted")
        text = b"".join(json.dumps(line).encode() + b"\n" for line in self._lines(query.get("from_step")))
        if "zstd" in accept:
            body, headers = zstandard.compress(text), {"Content-Encoding": "zstd"}
        elif "gzip" in accept:
            body, headers = gzip.compress(text), {"Content-Encoding": "gzip"}
        else:
            body, headers = text, {}
        return 200, body[: self.cut_at], headers

    def _lines(self, from_step: str | None) -> Iterator[dict[str, Any]]:
        latest = {key: [point[0], point[2], _strict(point[1])] for key, point in self._latest().items()}
        info = {**self._info(), "experiment_name": EXPERIMENT, "run_name": "quick-test-7"}
        head = {"version": 1, "run": info, "params": self.params, "tags": self.tags, "latest": latest}
        yield head | self.normalised
        metrics = points = 0
        for key, logged in self.metrics.items():
            asked = sorted((p for p in logged if from_step is None or p[0] >= int(from_step)), key=_rank)
            if asked:
                yield {"axis": metrics, "steps": [p[0] for p in asked], "timestamps": [p[2] for p in asked]}
                values = [_strict(p[1]) for p in asked]
                kinds = {kind: [i for i, value in enumerate(values) if value == kind] for kind in set(values) - {None}}
                yield {
                    "key": key,
                    "axis": metrics,
                    "values": [None if isinstance(value, str) else value for value in values],
                    "non_finite": {kind: found for kind, found in kinds.items() if isinstance(kind, str)},
                }
                metrics, points = metrics + 1, points + len(asked)
        yield {"end": True, "metrics": metrics, "points": points}

    def _info(self) -> dict[str, Any]:
        return {
            "run_id": RUN_ID,
            "run_name": "quick-test-7",
            "experiment_id": "1",
            "user_id": "ada",
            "status": self.status,
            "lifecycle_stage": self.lifecycle_stage,
            "start_time": self.start_time,
            "end_time": 1_767_349_800_000,
        }

    def _latest(self) -> dict[str, tuple[int, float | str, int]]:
        return {key: max(points, key=_rank) for key, points in self.metrics.items() if points}


def _rank(point: tuple[int, float | str, int]) -> tuple[int, int, float, bool]:
    """MLflow's order of points: by step, timestamp and value, where NaN counts as 0, as in its databases."""
    value = float(point[1])
    return point[0], point[2], 0.0 if math.isnan(value) else value, math.isnan(value)


def _point(key: str, point: tuple[int, float | str, int]) -> dict[str, Any]:
    return {"key": key, "step": point[0], "value": point[1], "timestamp": point[2]}


def _strict(value: float | str) -> float | str:
    number = float(value)
    if math.isnan(number):
        return "NaN"
    if abs(number) >= LARGEST:
        return "Infinity" if number > 0 else "-Infinity"
    return number


def _unknown(message: str) -> tuple[int, bytes, dict[str, str]]:
    return _json(404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": message})


def _json(status: int, document: Any) -> tuple[int, bytes, dict[str, str]]:
    # MLflow indents its JSON. For that, json has a loop in Python, which takes seconds for a long page.
    if isinstance(document, dict) and len(document.get("metrics", ())) > LONG:
        return status, orjson.dumps(document, option=orjson.OPT_INDENT_2), {}
    return status, json.dumps(document, indent=2).encode(), {}
