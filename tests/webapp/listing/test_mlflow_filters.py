"""MLflow's filters and orders find here what they find in MLflow: compared with its own store."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow.entities import Metric, Param, RunStatus, RunTag, ViewType
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from tests.webapp.listing.conftest import Make
from webapp.annotations.change import Change
from webapp.listing.find import find
from webapp.listing.query import parse
from webapp.listing.sorting import Sort
from webapp.visibility.reader import NOTHING

RUNS = 300 if settings().max_examples > 100 else 60
"""More with HYPOTHESIS_PROFILE=thorough."""
MOST = 1000
START = 1_767_355_200_000
VALUES = [0.0, 0.1, 0.25, 0.5, 1.0, -1.0, 2.5e-3, 1e6, math.nan, math.inf, -math.inf]
TEXTS = ["adam", "Adam", "sgd", "ad%m", "a b", "0.1", "don_t", "[a]*"]
METRICS, PARAMS = ["loss", "val_loss", "val loss/x", "acc.min"], ["opt", "lr rate", "model.name"]
STATUSES = ["FINISHED", "FAILED", "RUNNING", "KILLED"]


class Both:
    """The same made-up runs in MLflow's store and here."""

    def __init__(self, folder: Path, make: Make) -> None:
        self.store = SqlAlchemyStore(f"sqlite:///{folder / 'mlflow.db'}", str(folder))
        self.experiment = self.store.create_experiment("e")
        self.numbers: dict[str, dict[str, float]] = {}
        self.starts: dict[str, int] = {}
        chance = random.Random(7)
        for number in range(RUNS):
            self._add(make, number, chance)

    def _add(self, make: Make, number: int, chance: random.Random) -> None:
        metrics = {key: [chance.choice(VALUES) for _ in range(2)] for key in METRICS if chance.random() < 0.7}
        params = {key: chance.choice(TEXTS) for key in PARAMS if chance.random() < 0.7}
        tags = {"team": chance.choice(TEXTS)} if chance.random() < 0.5 else {}
        start, status = START + chance.randrange(50), chance.choice(STATUSES)
        name = f"run {number % 20}"
        info = self.store.create_run(self.experiment, "ada", start, [], name).info
        points = [
            Metric(key, value, start, step) for key, values in metrics.items() for step, value in enumerate(values)
        ]
        self.store.log_batch(
            info.run_id, points, [Param(*item) for item in params.items()], [RunTag(*item) for item in tags.items()]
        )
        self.store.update_run_info(info.run_id, RunStatus.from_string(status), None, None)
        self.starts[info.run_id] = start
        self.numbers[info.run_id] = {key: values[-1] for key, values in metrics.items()}
        moment = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=start)
        # Half of the tags are MLflow's, half were given here.
        logged = tags if number % 2 else {}
        make(info.run_id, params, metrics, logged, name=name, status=status, start_time=moment)
        if tags and not logged:
            Change(tags=tags).make([info.run_id], "ada", NOTHING)

    def theirs(self, text: str, order: list[str]) -> list[str]:
        found = self.store.search_runs([self.experiment], text, ViewType.ALL, MOST, order)
        return [run.info.run_id for run in found]

    @staticmethod
    def ours(text: str, order: str) -> list[str]:
        return [each.run.run_id for each in find(parse(text), Sort.parse(order), MOST, hidden=NOTHING).runs]

    def shown(self, run_ids: list[str], key: str) -> list[Any]:
        """What an order by the metric, or by the start, can tell apart."""
        values = [self.numbers[run_id].get(key) if key else self.starts[run_id] for run_id in run_ids]
        return [str(value) for value in values]


@pytest.fixture
def both(tmp_path: Path, make: Make) -> Both:
    return Both(tmp_path, make)


def _named(prefixes: list[str], keys: list[str]) -> st.SearchStrategy[str]:
    return st.builds(lambda prefix, key: f"{prefix}.`{key}`", st.sampled_from(prefixes), st.sampled_from(keys))


PATTERNS = st.sampled_from([*TEXTS, "%", "a%", "%D%", "_dam", "[a]%", "%_t", "run 1%", "FIN%"])
NUMBERS = st.sampled_from([str(value) for value in VALUES if math.isfinite(value)])
QUOTED = st.builds(lambda text, mark: f"{mark}{text}{mark}", PATTERNS, st.sampled_from("'\""))
ORDER = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
LIKE = st.sampled_from(["=", "!=", "LIKE", "ILIKE", "like"])
ABSENT = st.sampled_from(["IS NULL", "IS NOT NULL"])
TEXTUAL = st.one_of(
    _named(["params", "param", "parameter"], PARAMS),
    _named(["tags", "tag"], ["team"]),
    st.sampled_from(["attributes.run_name", "attr.`run name`", "run.run_name", "run_name"]),
)
CONDITIONS = st.one_of(
    st.builds(" ".join, st.tuples(_named(["metrics", "metric"], METRICS), ORDER, NUMBERS)),
    st.builds(" ".join, st.tuples(TEXTUAL, LIKE, QUOTED)),
    st.builds(" ".join, st.tuples(_named(["params", "tags"], ["opt", "team"]), ABSENT)),
    st.builds("attributes.run_id {} ('{{0}}', \"{{1}}\")".format, st.sampled_from(["IN", "NOT IN"])),
    st.builds("attributes.status {} '{}'".format, st.sampled_from(["=", "!="]), st.sampled_from(STATUSES)),
    st.builds("attributes.start_time {} {}".format, ORDER, st.integers(START, START + 50)),
)
FILTERS = st.lists(CONDITIONS, min_size=1, max_size=3).map(" AND ".join)
ORDERS = st.sampled_from([*((f"metrics.`{key}`", key) for key in METRICS), ("attributes.start_time", "")])


@given(FILTERS, ORDERS, st.sampled_from(["ASC", "DESC"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_same_runs_are_found_in_the_same_order(both: Both, text: str, order: tuple[str, str], way: str) -> None:
    for number, run_id in enumerate(list(both.starts)[:2]):
        text = text.replace(f"{{{number}}}", run_id)
    theirs, ours = both.theirs(text, [f"{order[0]} {way}"]), both.ours(text, f"{order[0]} {way}")
    assert sorted(ours) == sorted(theirs)
    assert both.shown(ours, order[1]) == both.shown(theirs, order[1])
