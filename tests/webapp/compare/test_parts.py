"""Some metrics of compared runs at a time, and the index of all."""

from __future__ import annotations

import gzip
from typing import Any

import orjson
import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from tests.webapp.frameworks import Framework
from tests.webapp.samples import Sample, Varied
from warmboard.contract.entries import Body
from webapp.compare.asked import MOST_METRICS
from webapp.compare.parts import POINTS, Index, first, read

COMPARE = "/api/compare"


def told(key_values: dict[str, Any], drawn: list[str]) -> dict[str, Any]:
    """Summaries with a value for each key; those drawn have a chart each."""
    point = {key: {"value": value, "step": 0, "time": 0} for key, value in key_values.items()}
    return {
        "metrics": {key: dict.fromkeys(POINTS, point[key]) | {"count": 1} for key in sorted(key_values)},
        "charts": [{"title": key, "section": "other", "metrics": [key]} for key in drawn],
        "chunk_of": dict.fromkeys(drawn, 3),
        "replaced": dict.fromkeys(drawn[:1], 1),
        "unit": "step",
    }


def body(document: dict[str, Any]) -> Body:
    return Body(gzip.compress(orjson.dumps(document)), "etag")


@pytest.fixture
def wide(db: None) -> list[str]:
    """Two runs of 600 metrics, and one of a single value more."""
    for seed in (1, 2):
        Framework(f"wide{seed}", logged="many", size=600, seed=seed).warm()
    Framework("few", logged="scikit").warm()
    return ["wide1", "wide2", "few"]


def ask(reader: Client, run_ids: list[str], part: str = "", **query: str | int) -> Any:
    return reader.get(COMPARE + part, {"runs": ",".join(run_ids), **query})


def test_a_part_has_some_metrics_and_the_names_of_all(reader: Client, wide: list[str]) -> None:
    whole = ask(reader, wide).json()
    part = ask(reader, wide, first=100).json()
    assert "metrics" not in whole, "the answer with all metrics is as it was"
    for full, few in zip(whole["runs"], part["runs"], strict=True):
        assert few["history"] == full["history"]
        metrics = full["summaries"]["metrics"]
        assert len(few["summaries"]["metrics"]) == min(100, len(metrics))
        assert few["summaries"]["metrics"].items() <= metrics.items()
        assert few["summaries"]["charts"][:1] == full["summaries"]["charts"][:1]
    known = {key for run in whole["runs"] for key in run["summaries"]["metrics"]}
    index = {one["key"]: one for one in part["metrics"]}
    assert part["metrics_total"] == len(known)
    assert set(index) == known
    assert next(iter(index)) in whole["runs"][0]["summaries"]["charts"][0]["metrics"]
    assert (index["loss"]["runs"], index["loss"]["curves"], index["loss"]["section"]) == (2, 2, "training")
    assert (index["training_score"]["runs"], index["training_score"]["curves"]) == (1, 0)
    assert index["training_score"]["section"] is None


def test_the_last_metric_is_read_alone(reader: Client, wide: list[str]) -> None:
    whole = ask(reader, wide).json()["runs"]
    last = ask(reader, wide, first=1).json()["metrics"][-1]["key"]
    runs = ask(reader, wide, "/summaries", metrics=f"{last},of/no/run").json()["runs"]
    assert [run["mlflow_run_id"] for run in runs] == wide
    for full, part in zip(whole, runs, strict=True):
        assert part.keys() == {"mlflow_run_id", "summaries"}
        leading = full["summaries"]["charts"][:1]
        keys = {last, *(key for chart in leading for key in chart["metrics"])} & full["summaries"]["metrics"].keys()
        assert part["summaries"]["metrics"] == {key: full["summaries"]["metrics"][key] for key in keys}
        chunks = full["summaries"]["chunk_of"]
        assert part["summaries"]["chunk_of"] == {key: chunks[key] for key in keys if key in chunks}


def test_a_part_is_a_small_answer(reader: Client, db: None) -> None:
    for seed in (1, 2):
        Framework(f"wide{seed}", logged="many", size=3000, seed=seed).warm()
    sizes = [len(ask(reader, ["wide1", "wide2"], first=first_).content) for first_ in (1, MOST_METRICS)]
    whole = len(ask(reader, ["wide1", "wide2"]).content)
    assert sizes[0] < sizes[1] < whole / 5


def test_what_is_not_warm_has_no_part(reader: Client, wide: list[str]) -> None:
    Sample("cold").announce()
    document = ask(reader, ["wide1", "cold"], first=5).json()
    assert document["runs"][1]["summaries"] is None
    assert all(one["differ"] == list(POINTS) for one in document["metrics"]), "a run that lacks all differs"
    found = ask(reader, ["wide1", "cold", "unheard"], "/summaries", metrics="loss").json()["runs"]
    assert [run["summaries"] is None for run in found] == [False, True, True]


def test_a_part_that_has_not_changed_is_not_sent_again(reader: Client, wide: list[str]) -> None:
    for part, query in (("", {"first": 5}), ("/summaries", {"metrics": "loss"})):
        etag = ask(reader, wide, part, **query)["ETag"]
        address = {"runs": ",".join(wide)} | query
        assert reader.get(COMPARE + part, address, headers={"If-None-Match": etag}).status_code == 304
        assert ask(reader, wide, part, **dict.fromkeys(query, "7"))["ETag"] != etag
        Varied("few", epochs=9 if part else 8).warm()
        assert reader.get(COMPARE + part, address, headers={"If-None-Match": etag}).status_code == 200


@pytest.mark.parametrize(
    ("address", "parameter", "says"),
    [
        (f"{COMPARE}?runs=a,b&first=0", "first", "not a whole number from 1 to 200"),
        (f"{COMPARE}?runs=a,b&first=201", "first", "not a whole number from 1 to 200"),
        (f"{COMPARE}?runs=a,b&first=all", "first", "not a whole number"),
        (f"{COMPARE}/summaries?runs=a,b", "metrics", "is missing"),
        (f"{COMPARE}/summaries?runs=a,b&metrics=,", "metrics", "has 0 different metrics"),
        (f"{COMPARE}/summaries?runs=a,b&metrics={','.join(map(str, range(201)))}", "metrics", "has 201 different"),
        (f"{COMPARE}/summaries?runs=a&metrics=loss", "runs", "has 1 different runs"),
    ],
)
def test_too_much_is_refused(reader: Client, address: str, parameter: str, says: str) -> None:
    answer = reader.get(address)
    assert (answer.status_code, answer.json()["parameter"]) == (400, parameter)
    assert says in answer.json()["error"]


VALUES = st.one_of(st.integers(-2, 2), st.just("NaN"))
RUNS = st.lists(st.dictionaries(st.sampled_from("abcdef"), VALUES, max_size=6), min_size=2, max_size=4)


@given(runs=RUNS, most=st.integers(1, 6))
def test_the_index_says_how_many_have_a_metric_and_whether_they_differ(runs: list[dict[str, Any]], most: int) -> None:
    index = Index(len(runs))
    for values in runs:
        document = told(values, sorted(values, reverse=True)[:3])
        part = orjson.loads(read(body(document), first(most), index))
        assert part["metrics"].items() <= document["metrics"].items()
        assert len(part["metrics"]) == min(most, len(values))
        assert [chart["title"] for chart in part["charts"]] == [key for chart in document["charts"][:most]
                                                                for key in chart["metrics"]]  # fmt: skip
    listed = index.document()
    assert {one["key"] for one in listed} == {key for values in runs for key in values}
    for one in listed:
        found = [values.get(one["key"]) for values in runs]
        assert one["runs"] == len(runs) - found.count(None)
        assert one["curves"] <= one["runs"]
        assert one["differ"] == (list(POINTS) if len(set(found)) > 1 else [])
