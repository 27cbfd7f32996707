"""Documents of this version beside those of the old one: what the old one had is there, with the same values."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from typing import Any

import requests

from tests.upgrade.fixture import from_base64, read

CHANGED = {
    "fields that SHAPES lacks": "the contract grew: segments, replaced points, clocks, the word for steps",
    "ADDED": "a run's document says more: its newest value, unit, deletion, family, metrics to come, how it came",
    "CSV": "every CSV file names its charset and begins with a byte order mark",
    "cached_at": "every warming has its own time",
    "last, min and max in the index": "they have MLflow's digits; the old version rounded them to eight",
    "epoch in the sentences of insights": "it is step in a run of other frameworks whose steps are no epochs",
}
"""How documents of this version differ from the old ones, and why. ``as_then`` and ``but_for_time`` undo it."""
SHAPES: dict[str, list[str]] = read("interface.json")["openapi"]["shapes"]
"""The fields that each shape of the API had."""
ADDED = {"newest_at", "deleted_at", "unit", "pending_metrics", "parent", "children", "children_total", "announced"}
CSV = "text/csv; charset=utf-8"
ROUNDED = ("last", "min", "max")


def as_then(name: str, document: dict[str, Any]) -> dict[str, Any]:
    """A document of this version in the words of the old one. ``name`` is the entry's, or begins like it."""
    if name.startswith("metric-index"):
        groups = [_only("MetricGroup", group) for group in document["groups"]]
        for group in groups:
            group["metrics"] = [_rounded(_only("MetricSummary", metric)) for metric in group["metrics"]]
        return _only("MetricIndex", document) | {"groups": groups}
    if name.startswith("metric-chunk-"):
        axes = [_only("Axis", axis) for axis in document["axes"]]
        metrics = {key: _only("ChunkMetric", metric) for key, metric in document["metrics"].items()}
        return _only("MetricChunk", document) | {"axes": axes, "metrics": metrics}
    if name.startswith("histogram-"):
        return _only("Histogram", document)
    insights = [insight | {"text": _in_epochs(insight["text"], document["unit"])} for insight in document["insights"]]
    return _only("History", document) | {"insights": insights}


def but_for_time(document: dict[str, Any]) -> dict[str, Any]:
    """Without the time of its warming, which there must be."""
    assert document["cached_at"]
    return {field: value for field, value in document.items() if field != "cached_at"}


def decoded(row: dict[str, Any]) -> dict[str, Any]:
    """The document of an entry's row in the fixture."""
    found: dict[str, Any] = json.loads(gzip.decompress(from_base64(row["gzip"])))
    return found


def address(name: str, resolution: str, run_id: str) -> str:
    """Where the API has an entry."""
    run = f"/api/runs/{run_id}/"
    if name.startswith("histogram-"):
        _, kind, tower = name.split("-")
        return f"{run}histogram-data/?type={kind}&tower={tower}&resolution={resolution}"
    if name.startswith("metric-chunk-"):
        return f"{run}metrics/{name.removeprefix('metric-chunk-')}/?resolution={resolution}"
    if name == "history":
        return f"{run}training-history/?resolution={resolution}"
    return f"{run}{'metrics' if name == 'metric-index' else name}/"


def shown(answer: requests.Response) -> Any:
    """What of a document is compared: all but sentences for people, which may change."""
    return _without_prose(json.loads(answer.content))


def listed_runs(document: Any) -> Iterator[dict[str, Any]]:
    """Every object of a document that is about one run."""
    if isinstance(document, dict):
        if "mlflow_run_id" in document:
            yield document
        document = list(document.values())
    if isinstance(document, list):
        for item in document:
            yield from listed_runs(item)


def text(answer: requests.Response) -> str:
    """A page, decompressed if it was sent compressed."""
    content = answer.content
    return (gzip.decompress(content) if answer.headers.get("Content-Encoding") == "gzip" else content).decode()


def _only(shape: str, document: dict[str, Any]) -> dict[str, Any]:
    """The fields that the shape had."""
    return {field: value for field, value in document.items() if field in SHAPES[shape]}


def _rounded(metric: dict[str, Any]) -> dict[str, Any]:
    return metric | {field: metric[field] and float(f"{metric[field]:.8g}") for field in ROUNDED}


def _in_epochs(sentence: str, unit: str) -> str:
    if unit == "epoch":
        return sentence
    return re.sub(r"\bStep(s?)\b", r"Epoch\1", re.sub(r"\bstep(s?)\b", r"epoch\1", sentence))


def _without_prose(value: Any) -> Any:
    if isinstance(value, dict):
        prose = {"expect", "error"} | ({"reason"} if "available" in value else set())
        return {key: _without_prose(item) for key, item in value.items() if key not in prose | ADDED}
    return [_without_prose(item) for item in value] if isinstance(value, list) else value
