"""Every number of a run is MLflow's: runs as people log them, fetched by the bulk route, from MLflow 3.17.2
and from 2.9.2, as the list, the API and every file have them.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.test import Client
from mlflow import MlflowClient
from mlflow.entities import Metric
from pyarrow import parquet

from deploy.local.process import Process
from tests.mlflow_server import servers
from tests.webapp.test_exports import milliseconds
from warmboard.contract.catalogue import is_histogram
from workers.fetch.server import TrackingServer
from workers.settings import Settings
from workers.warm.pipeline import warm_from

pytestmark = [pytest.mark.integration, pytest.mark.django_db]
Point = tuple[int, Any, float]
"""Step, time, value. In a CSV file there is no time beyond the calendar."""
Logged = dict[str, list[Point]]
NAN, INFINITY, LARGEST = math.nan, math.inf, 1.7976931348623157e308
COLUMNS, REQUESTS = 4, 4
"""Metrics in one request for the list, each with five columns, and requests of a run."""
LAST_MOMENT = 253_402_300_800_000
START = 1_767_349_800_000
NANOSECOND = 1_795_000_000_000_000_000


def _counter_given_as_time() -> Logged:
    return {"score": [(0, i, i * i / 36) for i in range(60)]}


def _resumed_from_a_checkpoint() -> Logged:
    first = [(i, START + 500 * i, 5 / (i + 5)) for i in range(213)]
    return {"train/loss": first + [(i, START + 1_000_000 + 500 * i, 0.5 + 5 / (i + 5)) for i in range(201, 400)]}


def _counted_from_zero_again() -> Logged:
    first = [(i, START + 500 * i, 5 / (i + 5)) for i in range(150)]
    return {"train/loss": first + [(i, START + 1_000_000 + 500 * i, 5 / (i + 5) - 0.5) for i in range(100)]}


def _system_metrics_of_two_sessions() -> Logged:
    keys = [f"system/{name}" for name in ("cpu_utilization_percentage", "gpu_0_utilization_percentage")]
    sampled = [(i, START + begin + 1000 * i, 40.0 + (7 * i + begin) % 50) for begin in (0, 400_000) for i in range(100)]
    return dict.fromkeys(keys, sampled) | {"val_auc": [(i, START + 40_000 * i, 0.5 + i / 40) for i in range(12)]}


def _not_numbers() -> Logged:
    curves = {
        "diverged": [1.0, 2.0, INFINITY, NAN, -INFINITY, 3.0], "all_nan": [NAN] * 6, "all_inf": [INFINITY] * 6,
        "tiny": [1e-320 * (i + 1) for i in range(6)], "huge": [1e308, -1e308, LARGEST / 2, 5e307],
        "tokens": [float(2**53 + 2 * i) for i in range(6)], "close": [123_456_788.0, 123_456_789.0],
    }  # fmt: skip
    singles = {"one_nan": NAN, "one_inf": INFINITY, "minus_inf": -INFINITY, "one_tiny": 1e-320}
    found = {key: [(i, START + i, value) for i, value in enumerate(values)] for key, values in curves.items()}
    return found | {key: [(0, START, value)] for key, value in singles.items()}


def _odd_places() -> Logged:
    return {
        "neighbours": [(NANOSECOND + i, START + i, float(i)) for i in range(40)],
        "before zero": [(i - 20, START + i, float(i)) for i in range(40)],
        "in seconds": [(i, START // 1000 + 60 * i, 2 / (i + 1)) for i in range(30)],
        "in nanoseconds": [(i, START * 1_000_000 + 30_000_000_000 * i, 1 / (i + 1)) for i in range(20)],
        "unsorted": [(9, START, 0.9), (2, START + 1, 0.2), (7, 2**45, 0.7), (0, START + 3, 0.0)],
        "same step and time": [(1, START, 0.5), (1, START, 0.7), (1, START, NAN), (2, START, -1.0), (2, START, NAN)],
    }


def _lightning() -> Logged:
    found: Logged = {"epoch": []}
    for step in range(49, 1500, 50):
        found.setdefault("train_loss_step", []).append((step, START + 500 * step, 2 / (1 + step / 200)))
        found["epoch"].append((step, START + 500 * step, float(step // 150)))
    for epoch in range(10):
        last = 150 * epoch + 149
        for later, key in ((0, "val_loss"), (5, "train_loss_epoch")):
            found.setdefault(key, []).append((last, START + 500 * last + 300 + later, 2.2 / (1 + last / 220)))
            found["epoch"].append((last, START + 500 * last + 300 + later, float(epoch)))
    return found


def _many_steps() -> Logged:
    """More than an overview holds, with spikes between what is sampled, and values that end between samples."""
    losses = [(i, START + 10 * i, 5 / (1 + i / 3000) + (900.0 if i in (7, 4444, 19_998) else 0)) for i in range(20_000)]
    rates = [(i, START + 10 * i, 1e-3 * (1 - i / 20_000)) for i in range(0, 20_000, 10)]
    return {
        "train/loss": losses,
        "lr": rates,
        "val/loss": [(i, START + 10 * i, 1.2 + i / 1e6) for i in range(0, 20_000, 500)],
    }


def _many_metrics() -> Logged:
    return {f"layers.{i}.norm": [(step, START + step, i + step / 7) for step in range(5)] for i in range(240)}


def _generated(seed: int) -> Logged:
    chance = random.Random(seed)
    ways: list[Callable[[], float]] = [
        lambda: chance.uniform(-1, 1), lambda: float(chance.randint(-3, 3)),
        lambda: chance.choice([NAN, INFINITY, -INFINITY]),
        lambda: math.ldexp(chance.random(), chance.randint(-1070, 1020)),
    ]  # fmt: skip
    found: Logged = {}
    for number in range(chance.randint(1, 6)):
        points = {
            (chance.randint(-3, 12), START + chance.randint(0, 9), chance.choice(ways)())
            for _ in range(chance.randint(1, 30))
        }
        found[chance.choice(["loss", "val/acc", "naïve", "a.min", "=1+1", "x"]) + str(number)] = list(points)
    return found


RUNS: dict[str, Logged] = {
    made.__name__.strip("_").replace("_", " "): made()
    for made in (
        _counter_given_as_time, _resumed_from_a_checkpoint, _counted_from_zero_again, _system_metrics_of_two_sessions,
        _not_numbers, _odd_places, _lightning, _many_steps, _many_metrics,
    )
} | {f"generated {seed}": _generated(seed) for seed in range(4)}  # fmt: skip


@dataclass
class Truth:
    """A run as MLflow's own client tells it."""

    client: MlflowClient
    run_id: str

    @cached_property
    def points(self) -> Logged:
        """Every metric's points, sorted as MLflow ranks them."""
        keys = self.client.get_run(self.run_id).data.metrics
        return {key: sorted(map(_point, self.client.get_metric_history(self.run_id, key)), key=_rank) for key in keys}

    def summary(self, key: str) -> dict[str, Any]:
        points = self.points[key]
        finite = [point for point in points if math.isfinite(point[2])]
        values = [value for _, _, value in points]
        return {
            "count": len(points), "first": points[0], "last": points[-1],
            "min": min(finite, key=lambda point: point[2], default=None),
            "max": max(finite, key=lambda point: point[2], default=None),
            "nan": sum(map(math.isnan, values)), "infinity": values.count(INFINITY),
            "minus_infinity": values.count(-INFINITY),
        }  # fmt: skip


def _point(metric: Metric) -> Point:
    value = metric.value
    return metric.step, metric.timestamp, math.copysign(INFINITY, value) if abs(value) == LARGEST else value


def _rank(point: Point) -> tuple[int, int, float, bool]:
    step, time, value = point
    return step, time, 0.0 if math.isnan(value) else value, math.isnan(value)


@pytest.fixture(scope="module", params=["ours", "stock", "old"])
def server(request: pytest.FixtureRequest) -> servers.Server:
    found: servers.Server = request.getfixturevalue(
        {"ours": "our_mlflow", "stock": "stock_mlflow", "old": "old_mlflow"}[request.param]
    )
    return found


@pytest.fixture
def warmed(server: servers.Server, valkey: Process, request: pytest.FixtureRequest) -> Truth:
    """The run of this name, warm."""
    client, name = server.client, request.param
    run_id = client.create_run("0", run_name=name, start_time=START).info.run_id
    logged = [(key, step, time, value) for key, points in RUNS[name].items() for step, time, value in points]
    servers.insert(server.uri, run_id, logged)
    client.set_terminated(run_id, end_time=START + 600_000)
    warm_from(TrackingServer("default", server.address), run_id, Settings.read({"MLFLOW_TRACKING_URI": server.address}))
    return Truth(client, run_id)


@pytest.fixture
def reader(db: None) -> Client:
    """An administrator without a password: to hash one takes longer than most of these runs."""
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


@pytest.mark.parametrize("warmed", RUNS, indirect=True)
def test_every_number_is_mlflows(warmed: Truth, reader: Client) -> None:
    shown = [key for key in warmed.points if not is_histogram(key)]
    expected = {key: warmed.summary(key) for key in shown}
    told = reader.get(f"/api/runs/{warmed.run_id}/summaries/").json()["metrics"]
    assert {key: _told(summary) for key, summary in told.items()} == {key: _hex(item) for key, item in expected.items()}
    for some in itertools.islice(_batched(shown, COLUMNS), REQUESTS):
        assert_listed(reader, warmed.run_id, {key: expected[key] for key in some})
    for suffix, read in {"csv": from_csv, "json": from_json, "parquet": from_parquet}.items():
        content = reader.get(f"/api/runs/{warmed.run_id}/export.{suffix}?histograms=with").getvalue()
        found = {key: Counter(map(_bits, points)) for key, points in read(content).items()}
        last = LAST_MOMENT if suffix == "csv" else INFINITY
        points = {key: [(s, t if t < last else None, v) for s, t, v in known] for key, known in warmed.points.items()}
        assert found == {key: Counter(map(_bits, known)) for key, known in points.items()}, suffix


def _batched(keys: list[str], size: int) -> Iterator[list[str]]:
    return (keys[begin : begin + size] for begin in range(0, len(keys), size))


def assert_listed(client: Client, run_id: str, expected: dict[str, dict[str, Any]]) -> None:
    """Columns of the list, in its API and its file."""
    names = {
        f"metric.`{key}`{what and '.' + what}": _shown(summary, what)
        for key, summary in expected.items()
        for what in ("", "first", "min", "max", "count")
    }
    query = urlencode({"q": f"run = {run_id}", "columns": list(names)}, doseq=True)
    (run,) = client.get(f"/api/runs/?{query}").json()["runs"]
    assert len(run["final_metrics"]) == len(names)
    for (name, value), found in zip(names.items(), run["final_metrics"].values(), strict=True):
        assert _number(found) == _number(value), name
    (row,) = csv.DictReader(io.StringIO(client.get(f"/runs/export.csv?{query}").getvalue().decode("utf-8-sig")))
    for (name, value), found in zip(names.items(), list(row.values())[-len(names) :], strict=True):
        assert _number(found or None) == _number(value), name


def _shown(summary: dict[str, Any], what: str) -> float:
    """Where no value is finite, there is no least one: NaN."""
    found = summary[what or "last"]
    return NAN if found is None else found if what == "count" else found[2]


def _number(value: Any) -> str | None:
    return None if value is None else float(value).hex()


def _told(summary: dict[str, Any]) -> dict[str, Any]:
    """A summary of the API, its points as those of the truth."""
    points = {
        name: (point["step"], point["time"], float(point["value"]))
        for name, point in summary.items()
        if isinstance(point, dict)
    }
    return _hex(summary | points)


def _hex(summary: dict[str, Any]) -> dict[str, Any]:
    return {name: _bits(item) if isinstance(item, tuple) else item for name, item in summary.items()}


def _bits(point: Point) -> tuple[int, Any, str]:
    """NaN equals NaN, and -0.0 differs from 0.0."""
    step, time, value = point
    return step, time, float(value).hex()


def from_json(content: bytes) -> Logged:
    document = json.loads(content)
    words = {
        key: iter([gap["kind"] for gap in document["non_finite"] if gap["metric"] == key])
        for key in document["metrics"]
    }
    found: Logged = {}
    for key, metric in document["metrics"].items():
        axis = document["axes"][metric["axis"]]
        values = [float(next(words[key])) if value is None else value for value in metric["values"]]
        found[key] = list(zip(axis["steps"], axis["timestamps"], values, strict=True))
    return found


def from_csv(content: bytes) -> Logged:
    head, *rows = csv.reader(io.StringIO(content.decode("utf-8-sig")))
    return {
        key.removeprefix("'"): [
            (int(row[0]), milliseconds(row[1]) if row[1] else None, float(row[at])) for row in rows if row[at]
        ]
        for at, key in enumerate(head[2:], start=2)
    }


def from_parquet(content: bytes) -> Logged:
    found = parquet.read_table(io.BytesIO(content))
    places = list(zip(found.column(0).to_pylist(), found.column(1).cast("int64").to_pylist(), strict=True))
    return {
        key: [(*place, value) for place, value in zip(places, column.to_pylist(), strict=True) if value is not None]
        for key, column in zip(found.column_names[2:], found.columns[2:], strict=True)
    }
