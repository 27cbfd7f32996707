"""An MLflow server at the wire: it has every run that it is asked for, and takes every run that it is given."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

Answer = tuple[int, bytes, dict[str, str]]
API = "/api/2.0/mlflow/"
EPOCHS = 3
START = 1_767_349_700_000


class Mlflow:
    """Answers as a stock server does. ``logged``, ``created`` and ``ended`` are what it was given."""

    def __init__(self) -> None:
        self.logged: dict[str, list[tuple[str, int, float | str]]] = {}
        self.params: dict[str, dict[str, str]] = {}
        self.created: list[dict[str, Any]] = []
        self.ended: dict[str, dict[str, Any]] = {}

    def __call__(self, path: str, _: Any, body: bytes) -> Answer:
        parts = urlsplit(path)
        given = {name: values[0] for name, values in parse_qs(parts.query).items()}
        given |= json.loads(body) if body else {}
        routes: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "runs/get": self._run,
            "metrics/get-history": self._history,
            "experiments/get": lambda _: {"experiment": {"experiment_id": "1", "name": "two-tower"}},
            "experiments/get-by-name": lambda _: {"experiment": {"experiment_id": "1"}},
            "runs/search": lambda _: {},
            "runs/create": self._create,
            "runs/log-batch": self._log,
            "runs/update": self._end,
        }
        answer = routes.get(parts.path.removeprefix(API)) if parts.path.startswith(API) else None
        if answer is None:
            return 404, b"<!doctype html><title>404 Not Found</title>", {}
        return 200, json.dumps(answer(given)).encode(), {"Content-Type": "application/json"}

    def _run(self, given: dict[str, Any]) -> dict[str, Any]:
        info = {
            "run_id": given["run_id"], "run_name": "fetched-after-the-upgrade", "experiment_id": "1",
            "status": "FINISHED", "lifecycle_stage": "active", "start_time": START, "end_time": START + 60_000,
        }  # fmt: skip
        last = self._history({"metric_key": "loss"})["metrics"][-1]
        return {"run": {"info": info, "data": {"metrics": [last], "params": [], "tags": []}}}

    def _history(self, given: dict[str, Any]) -> dict[str, Any]:
        points = [
            {"key": given["metric_key"], "value": 1.0 / (step + 1), "step": step, "timestamp": START + step * 1000}
            for step in range(EPOCHS)
        ]
        return {"metrics": points}

    def _create(self, given: dict[str, Any]) -> dict[str, Any]:
        self.created.append(given)
        return {"run": {"info": {"run_id": f"created{len(self.created)}"}}}

    def _log(self, given: dict[str, Any]) -> dict[str, Any]:
        values = [(metric["key"], metric["step"], metric["value"]) for metric in given.get("metrics", [])]
        self.logged.setdefault(given["run_id"], []).extend(values)
        params = {param["key"]: param["value"] for param in given.get("params", [])}
        self.params.setdefault(given["run_id"], {}).update(params)
        return {}

    def _end(self, given: dict[str, Any]) -> dict[str, Any]:
        self.ended[given["run_id"]] = given
        return {}
