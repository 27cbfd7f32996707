"""An MLflow server on the wire's other end: an HTTP transport that answers from memory, page by page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
from requests.adapters import HTTPAdapter

Points = Sequence[tuple[int, float | str, int]]
"""(step, value as MLflow writes it, timestamp) of one metric."""
RUN_ID = "0123456789abcdef0123456789abcdef"


class FakeMlflow(HTTPAdapter):
    """Answers what ``workers.fetch`` asks of one run. ``failures`` are status codes given out first."""

    def __init__(
        self,
        metrics: Mapping[str, Points],
        params: Mapping[str, str] | None = None,
        *,
        status: str = "FINISHED",
        lifecycle_stage: str = "active",
        page_size: int = 1000,
        failures: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.metrics, self.params, self.status, self.lifecycle_stage = metrics, params or {}, status, lifecycle_stage
        self.page_size, self.failures = page_size, list(failures)
        self.requests: list[str] = []

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        split = urlsplit(str(request.url))
        self.requests.append(split.path)
        if self.failures:
            return _response(request, self.failures.pop(0), {"error_code": "X", "message": "as the test wants it"})
        query = {name: values[0] for name, values in parse_qs(split.query).items()}
        name = split.path.partition("/api/2.0/mlflow/")[2]
        if name == "runs/get" and query["run_id"] != RUN_ID:
            return _response(request, 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Run not found"})
        return _response(request, 200, getattr(self, f"_{name.replace('/', '_').replace('-', '_')}")(query))

    def _runs_get(self, query: Mapping[str, str]) -> dict[str, Any]:
        info = {
            "run_id": RUN_ID,
            "run_name": "quick-test-7",
            "experiment_id": "1",
            "status": self.status,
            "lifecycle_stage": self.lifecycle_stage,
            "start_time": 1_767_349_700_000,
            "end_time": 1_767_349_800_000,
        }
        metrics = [{"key": key, "value": points[-1][1]} for key, points in self.metrics.items() if points]
        params = [{"key": key, "value": value} for key, value in self.params.items()]
        return {"run": {"info": info, "data": {"metrics": metrics, "params": params}}}

    def _experiments_get(self, _: Mapping[str, str]) -> dict[str, Any]:
        return {"experiment": {"experiment_id": "1", "name": "two-tower"}}

    def _metrics_get_history(self, query: Mapping[str, str]) -> dict[str, Any]:
        begin = int(query.get("page_token", 0))
        end = begin + min(self.page_size, int(query["max_results"]))
        points = self.metrics[query["metric_key"]]
        page: dict[str, Any] = {
            "metrics": [
                {"key": query["metric_key"], "step": step, "value": value, "timestamp": timestamp}
                for step, value, timestamp in points[begin:end]
            ]
        }
        return {**page, "next_page_token": str(end)} if end < len(points) else page


def _response(request: requests.PreparedRequest, status: int, document: Any) -> requests.Response:
    response = requests.Response()
    response.status_code, response.request, response.url = status, request, str(request.url)
    response._content = json.dumps(document).encode()
    return response
