"""An MLflow server at the wire: it has every run that it is asked for, and takes every run that it is given."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from workers.history.fetched import FetchedRun
from workers.history.points import Point, number

Answer = tuple[int, bytes, dict[str, str]]
API = "/api/2.0/mlflow/"
EPOCHS = 3
START = 1_767_349_700_000


class Mlflow:
    """Answers as a stock server does. It has these ``runs``, and three epochs of any other run.

    ``logged``, ``created`` and ``ended`` are what it was given, ``fetched`` the IDs of the runs that it was asked for.
    """

    def __init__(self, runs: Mapping[str, FetchedRun] | None = None) -> None:
        self.runs = runs or {}
        self.fetched: list[str] = []
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
            "experiments/get": self._experiment,
            # By this a worker decides whether the server is down.
            "experiments/search": lambda _: {},
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
        self.fetched.append(given["run_id"])
        if run := self.runs.get(given["run_id"]):
            return {"run": {"info": _info(run), "data": _data(run)}}
        info = {
            "run_id": given["run_id"], "run_name": "fetched-after-the-upgrade", "experiment_id": "two-tower",
            "status": "FINISHED", "lifecycle_stage": "active", "start_time": START, "end_time": START + 60_000,
        }  # fmt: skip
        last = self._history({"run_id": given["run_id"], "metric_key": "loss"})["metrics"][-1]
        return {"run": {"info": info, "data": {"metrics": [last], "params": [], "tags": []}}}

    def _experiment(self, given: dict[str, Any]) -> dict[str, Any]:
        """An experiment has its name as its ID."""
        return {"experiment": {"experiment_id": given["experiment_id"], "name": given["experiment_id"]}}

    def _history(self, given: dict[str, Any]) -> dict[str, Any]:
        key = given["metric_key"]
        if run := self.runs.get(given["run_id"]):
            points = run.points[key]
            columns = (points.steps.tolist(), points.timestamps.tolist(), points.values.tolist())
            return {"metrics": [_metric(key, point) for point in zip(*columns, strict=True)]}
        return {"metrics": [_metric(key, (step, START + step * 1000, 1.0 / (step + 1))) for step in range(EPOCHS)]}

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


def _info(run: FetchedRun) -> dict[str, Any]:
    return {
        "run_id": run.run_id, "run_name": run.name, "experiment_id": run.experiment_name, "status": run.status,
        "lifecycle_stage": "active", "start_time": _milliseconds(run.start_time),
        "end_time": _milliseconds(run.end_time),
    }  # fmt: skip


def _data(run: FetchedRun) -> dict[str, Any]:
    return {
        "metrics": [_metric(key, points.last()) for key, points in run.points.items()],
        "params": [{"key": key, "value": value} for key, value in run.params.items()],
        "tags": [{"key": key, "value": value} for key, value in run.tags.items()],
    }


def _metric(key: str, point: Point) -> dict[str, Any]:
    step, timestamp, value = point
    return {"key": key, "step": step, "timestamp": timestamp, "value": number(value)}


def _milliseconds(time: datetime | None) -> int | None:
    return None if time is None else round(time.timestamp() * 1000)
