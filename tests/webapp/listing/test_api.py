"""The list as JSON, and its answers to malformed addresses."""

from __future__ import annotations

import csv
import io
import math
from typing import Any

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.models import Run
from tests.webapp.frameworks import Framework
from tests.webapp.listing.conftest import Make
from tests.webapp.samples import Sample
from webapp.annotations.change import Change
from webapp.visibility.reader import NOTHING


def test_the_same_address_is_json(reader: Client, make: Make) -> None:
    for number in range(5):
        make(f"run{number}", {"optimizer": "adam", "lr": "1"}, {"recall": number / 10, "loss": 1.0})
    Change(pinned=True, note="n", tags={"owner": "ada"}).make(["run2"], "ada", NOTHING)
    query: dict[str, Any] = {
        "q": "metric.recall < 0.4",
        "sort": "-metric.recall",
        "columns": ["metric.recall", "param.lr"],
        "limit": 2,
    }
    first = reader.get("/api/runs/", query).json()
    assert [run["mlflow_run_id"] for run in first["runs"]] == ["run3", "run2"], "pinned ones where the order has them"
    assert first["runs"][0]["params"] == {"lr": "1"}
    assert first["runs"][0]["final_metrics"] == {"recall": 0.3}
    said = first["runs"][1]["annotation"]
    assert said.pop("changed_at")
    assert said == {"tags": {"owner": "ada"}, "note": "n", "pinned": True, "archived": False, "changed_by": "ada"}
    assert first["previous"] is None
    second = reader.get("/api/runs/", query | {"cursor": first["next"]}).json()
    assert [run["mlflow_run_id"] for run in second["runs"]] == ["run1", "run0"]
    assert second["next"] is None
    back = reader.get("/api/runs/", query | {"cursor": second["previous"]}).json()
    assert [run["mlflow_run_id"] for run in back["runs"]] == ["run3", "run2"]
    assert back["previous"] is None


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=x", "limit=²", "cursor=x", "sort=x", "q=and", "columns=x", "group=x"]
)
def test_what_cannot_be_used_is_named(reader: Client, query: str) -> None:
    response = reader.get(f"/api/runs/?{query}")
    assert response.status_code == 400
    assert response.json()["parameter"] == query.split("=")[0]


def test_a_query_that_is_still_being_typed_finds_nothing_yet(reader: Client, make: Make) -> None:
    make("a", {"lr": "0.1"})
    found = reader.get("/api/runs/", {"q": "param.lr >", "typing": "1"})
    assert found.status_code == 200
    assert found.json()["runs"] == []
    assert "missing value" in found.json()["problem"]
    assert reader.get("/api/runs/", {"q": "param.lr > 0", "typing": "1"}).json()["problem"] is None
    assert reader.get("/api/runs/", {"q": "param.lr >", "typing": "0"}).status_code == 400
    assert reader.get("/api/runs/", {"sort": "x", "typing": "1"}).status_code == 400, "no form sends that"
    assert reader.get("/api/runs/", {"typing": "2"}).json()["parameter"] == "typing"


def test_a_name_that_no_run_has_is_a_problem_while_typing(reader: Client, make: Make) -> None:
    make("a", {"optimizer": "adam"}, {"val_loss": 1.0}, experiment_name="two-tower")
    Change(tags={"owner": "ada"}).make(["a"], "ada", NOTHING)

    def problem(query: str, typing: str = "1") -> str | None:
        answer = reader.get("/api/runs/", {"q": query, "typing": typing})
        assert answer.status_code == 200
        found: str | None = answer.json()["problem"]
        return found

    assert problem("metric.val_los < 3") == "No run has the metric val_los. The nearest is val_loss."
    assert problem("param.optimiser = adam") == "No run has the parameter optimiser. The nearest is optimizer."
    assert problem("tag.ownr") == "No run has the tag ownr. The nearest is owner."
    assert problem("experiment = two-towr") == "No run is in the experiment two-towr. The nearest is two-tower."
    assert problem("metric.zzz and param.qqq") == "No run has the metric zzz. No run has the parameter qqq."
    for known in ("param.optimizer = sgd", "metric.val_loss > 3", "experiment != two-tower", "tag.owner = bob"):
        assert problem(known) is None
    assert problem("metric.val_los < 3", typing="0") is None


NAMES = st.sampled_from(["q", "typing", "sort", "columns", "group", "limit", "cursor", "run", "before"])
LANGUAGE = st.lists(
    st.sampled_from(
        ["and", "or", "param.lr", "metric.loss", 'metric."a b"', "tag.x", "status", "epochs", "started", "is:pinned",
         "=", "!=", ">", "<=", "~", "0.5", "1e999", "-1", "adam", '"', '"\\', "2026-11-01", "%", "_", "\x00", "'",
         ";--", "quick_test", "99999999999999999999", "failed", "param.", "\ud7ff", "٣"]
    ),
    max_size=8,
).map(" ".join)  # fmt: skip
VALUES = st.one_of(
    LANGUAGE,
    st.text(max_size=30),
    st.sampled_from(["-metric.loss", "param.lr", "metric.\x00", "-", "param." + "k" * 300, "metric.a/b", "200", "-1"]),
    st.sampled_from(["WzAsMCwieCJd:1tX:abc", "param.lr", "status", "experiment", "metric.loss"]),
)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=4))
@settings(max_examples=max(300, settings().max_examples), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_hostile_addresses_are_answered(reader: Client, sample: Sample, address: list[tuple[str, str]]) -> None:
    """Here are some; HYPOTHESIS_PROFILE=thorough tries thousands."""
    query: dict[str, list[str]] = {}
    for name, value in address:
        query.setdefault(name, []).append(value)
    for path in ("/", "/rows/", "/api/runs/", "/pick/"):
        assert reader.get(path, query).status_code in (200, 302, 400, 404)


@given(st.binary(max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_bytes_that_are_no_text_are_answered(reader: Client, sample: Sample, raw: bytes) -> None:
    text = "".join(f"%{byte:02x}" for byte in raw)
    for name in ("q", "sort", "columns", "cursor", "group"):
        assert reader.get(f"/api/runs/?{name}={text}").status_code in (200, 400)


def test_chosen_numbers_are_sent_with_words_for_what_is_not_finite(reader: Client, make: Make) -> None:
    make("a", {}, {"loss": [0.1, -math.inf], "nan": None, "x": 0.1 + 0.2})
    query = {"columns": ["metric.loss", "metric.loss.first", "metric.loss.count", "metric.nan", "metric.x", "metric.y"]}
    [run] = reader.get("/api/runs/", query).json()["runs"]
    expected = {"loss": "-Infinity", "loss.first": 0.1, "loss.count": 2, "nan": "NaN", "x": 0.1 + 0.2}
    assert run["final_metrics"] == expected
    page = reader.get("/", query).content.decode()
    for cell in ('title="0.30000000000000004">0.3000', ">-Infinity<", ">NaN<", ">2<", 'data-label="y">\N{EN DASH}<'):
        assert cell in page
    groups = reader.get("/", query | {"group": "metric.loss"}).content.decode()
    assert "-Infinity</a>" in groups


def test_the_unit_of_epochs_is_told_wherever_they_are(reader: Client, db: None) -> None:
    Framework("stepped", logged="steps", size=300).warm()
    Sample("by-epoch", epochs=7).warm()
    Sample("bare").announce()
    Run.objects.filter(pk="bare").update(epochs=None)
    listed = {run["mlflow_run_id"]: (run["epochs"], run["unit"]) for run in reader.get("/api/runs/").json()["runs"]}
    assert listed == {"stepped": (300, "step"), "by-epoch": (7, "epoch"), "bare": (None, "epoch")}
    assert reader.get("/api/runs/stepped/").json()["unit"] == "step"
    compared = reader.get("/api/compare?runs=stepped,by-epoch").json()["runs"]
    assert [run["unit"] for run in compared] == ["step", "epoch"]
    table = reader.get("/runs/export.csv", {"sort": "name"}).getvalue().decode("utf-8-sig")
    rows = {row["run_id"]: (row["epochs"], row["unit"]) for row in csv.DictReader(io.StringIO(table))}
    assert rows == {"stepped": ("300", "step"), "by-epoch": ("7", "epoch"), "bare": ("", "")}
