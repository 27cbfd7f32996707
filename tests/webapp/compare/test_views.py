"""Several runs in one answer, and the page that asks for it."""

from __future__ import annotations

import gzip
import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import redis
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries

from store import warm
from store.state import EXPECT
from tests.webapp.numbers import CLOSE, Numbers, Untold
from tests.webapp.samples import Sample, Varied
from warmboard.contract import directions
from warmboard.contract.entries import Encoding, EntryKey, Resolution
from warmboard.contract.events import RUN_ID

COMPARE = "/api/compare"
STATIC = Path("webapp/static/webapp")
REFERENCE = Path("docs/reference/compare.md").read_text()
# What a signed-in reader costs: session and user.
OF_THE_READER = 2


@pytest.fixture
def three(db: None) -> list[str]:
    """Three warm runs."""
    run_ids = [f"run{seed}" for seed in range(3)]
    for seed, run_id in enumerate(run_ids):
        Varied(run_id, seed=seed, epochs=8).warm(quick_test=seed + 1)
    return run_ids


def ask(reader: Client, *run_ids: str, **headers: str) -> Any:
    return reader.get(COMPARE, {"runs": ",".join(run_ids)}, headers=headers)


def test_runs_come_in_the_order_asked_each_once(reader: Client, three: list[str]) -> None:
    document = ask(reader, "run2", "run0", "run2", "run1").json()
    assert document["available"] is True
    assert [run["mlflow_run_id"] for run in document["runs"]] == ["run2", "run0", "run1"]
    assert [run["quick_test_ids"] for run in document["runs"]] == [[3], [1], [2]]


def test_a_run_is_its_summary_and_its_stored_history(reader: Client, three: list[str]) -> None:
    found = ask(reader, *three).json()["runs"][1]
    stored = warm.get(EntryKey.history("run1", Resolution.OVERVIEW), Encoding.GZIP)
    assert stored
    listed = next(run for run in reader.get("/api/runs/").json()["runs"] if run["mlflow_run_id"] == "run1")
    assert found["history"] == json.loads(gzip.decompress(stored.data))
    assert found["summaries"] == reader.get("/api/runs/run1/summaries/").json()
    told = {key: value for key, value in listed.items() if key not in ("sparkline", "annotation")}
    assert {key: found[key] for key in told} == told


def test_the_stored_text_is_handed_out_as_it_is(reader: Client, three: list[str]) -> None:
    text = ask(reader, *three).content
    for run_id in three:
        for key in (EntryKey.history(run_id, Resolution.OVERVIEW), EntryKey.summaries(run_id)):
            stored = warm.get(key, Encoding.GZIP)
            assert stored
            assert gzip.decompress(stored.data) in text


def test_what_is_not_warm_is_an_answer(reader: Client, three: list[str]) -> None:
    Sample("cold").announce("failed", "MLflow answered 404")
    Sample("waits").announce()
    first, failed, waits, unheard = ask(reader, "run0", "cold", "waits", "unheard").json()["runs"]
    assert first["state"] == "warm"
    assert (failed["state"], failed["reason"], failed["history"]) == ("failed", "MLflow answered 404", None)
    assert failed["name"] == "quick-test-7"
    assert (waits["state"], waits["expect"]) == ("pending", EXPECT["pending"])
    assert (unheard["state"], unheard["expect"], unheard["history"]) == ("unknown", EXPECT["unknown"], None)
    assert "name" not in unheard
    assert [run["summaries"] is None for run in (first, failed, waits, unheard)] == [False, True, True, True]


def test_a_run_of_an_older_worker_has_no_summaries_yet(reader: Client, three: list[str]) -> None:
    Untold("untold", epochs=8).warm()
    before = ask(reader, "run0", "untold")
    found = before.json()["runs"][1]
    assert (found["state"], found["summaries"], found["history"]["epochs_total"]) == ("warm", None, 8)
    Sample("untold", epochs=8).put()
    after = ask(reader, "run0", "untold", **{"If-None-Match": before["ETag"]})
    assert after.json()["runs"][1]["summaries"]["metrics"]["loss"]["count"] == 8


def test_numbers_have_all_digits(reader: Client, db: None) -> None:
    for seed in (1, 2):
        Numbers(f"close{seed}", seed=seed, logged="close").warm()
    runs = ask(reader, "close1", "close2").json()["runs"]
    assert [run["summaries"]["metrics"]["val_score"]["last"]["value"] for run in runs] == [CLOSE + 1, CLOSE + 2]
    metrics = runs[0]["summaries"]["metrics"]
    assert [metrics[f"ends/{name}"]["last"]["value"] for name in ("nan", "high", "low")] == [
        "NaN", "Infinity", "-Infinity",
    ]  # fmt: skip
    assert {"__proto__", "constructor", "own/axis"} <= metrics.keys()


def test_the_queries_are_the_same_however_many_runs(
    reader: Client, empty_redis: redis.Redis, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(12):
        Varied(f"many{number}", seed=number, epochs=3).warm()
    cold = [f"cold{number}" for number in range(12)]
    for run_id in cold:
        Sample(run_id).announce()
    for count in (2, 12):
        warm_ones, cold_ones = [f"many{number}" for number in range(count)], cold[:count]
        ask(reader, *warm_ones)  # now Redis has them
        with django_assert_num_queries(OF_THE_READER + 2):  # runs, quick tests
            ask(reader, *warm_ones)
        with django_assert_num_queries(OF_THE_READER + 5):  # and entries that Redis has not, events, and outages
            ask(reader, *warm_ones, *cold_ones)
        empty_redis.flushdb()
        with django_assert_num_queries(OF_THE_READER + 3):
            ask(reader, *warm_ones)


@pytest.mark.parametrize(("accepts", "coding", "suffix"), [("gzip, zstd", "gzip", "-gz"), ("", None, "")])
def test_what_has_not_changed_is_not_sent_again(
    reader: Client, three: list[str], accepts: str, coding: str | None, suffix: str
) -> None:
    headers = {"Accept-Encoding": accepts}
    answer = ask(reader, *three, **headers)
    assert answer.get("Content-Encoding") == coding
    assert answer["ETag"].endswith(f'{suffix}"')
    assert answer["Content-Length"] == str(len(answer.content))
    assert answer["Cache-Control"] == "private, no-cache"
    again = ask(reader, *three, **headers, **{"If-None-Match": answer["ETag"]})
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", answer["ETag"])
    other_order = ask(reader, *reversed(three), **headers, **{"If-None-Match": answer["ETag"]})
    assert other_order.status_code == 200


def test_a_run_that_goes_on_changes_the_etag(reader: Client, three: list[str]) -> None:
    before = ask(reader, *three)["ETag"]
    Varied("run1", seed=1, epochs=9).put()
    after = ask(reader, *three, **{"If-None-Match": before})
    assert after.status_code == 200
    assert after.json()["runs"][1]["history"]["epochs_total"] == 9


def test_a_state_that_changes_changes_the_etag(reader: Client, three: list[str]) -> None:
    before = ask(reader, "run0", "later")["ETag"]
    Sample("later").announce()
    assert ask(reader, "run0", "later", **{"If-None-Match": before}).json()["runs"][1]["state"] == "pending"


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("", "is missing"),
        ("runs=", "has 0 different runs"),
        ("runs=one", "has 1 different runs"),
        ("runs=one,one", "has 1 different runs"),
        (f"runs={','.join(f'r{number}' for number in range(51))}", "has 51 different runs"),
        ("runs=one,two/../x", "'two/../x' is not a run ID"),
        ("runs=one,,two", "an ID is empty"),
        (f"runs=one,{'a' * 65}", "is not a run ID"),
    ],
)
def test_bad_input_is_400_and_names_the_parameter(reader: Client, query: str, says: str) -> None:
    answer = reader.get(f"{COMPARE}?{query}")
    assert answer.status_code == 400
    assert answer.json()["parameter"] == "runs"
    assert says in answer.json()["error"]


def test_fifty_runs_are_not_too_many(reader: Client) -> None:
    assert len(ask(reader, *(f"r{number}" for number in range(50))).json()["runs"]) == 50


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(items=st.lists(st.one_of(st.text(max_size=8), st.from_regex(RUN_ID, fullmatch=True)), max_size=6))
def test_any_text_is_answered_or_refused(reader: Client, items: list[str]) -> None:
    text = ",".join(items)
    distinct = set(text.split(","))
    fits = 2 <= len(distinct) <= 50 and all(RUN_ID.fullmatch(item) for item in distinct)
    answer = reader.get(COMPARE, {"runs": text})
    assert answer.status_code == (200 if fits else 400)
    if not fits:
        assert answer.json()["parameter"] == "runs"
    assert reader.get("/compare/", {"runs": text}).status_code in (200, 400)


def test_the_page_asks_for_the_data_at_once(reader: Client) -> None:
    page = reader.get("/compare/?runs=one,two").content.decode()
    assert '<link rel="preload" href="/api/compare?runs=one,two&amp;first=200" as="fetch"' in page
    assert "Compare 2 runs" in page


@pytest.mark.parametrize("query", ["", "?runs=", "?runs=one"])
def test_the_page_needs_no_runs(reader: Client, query: str) -> None:
    answer = reader.get(f"/compare/{query}")
    assert answer.status_code == 200
    assert b"preload" not in answer.content


def test_the_page_refuses_what_is_no_list_of_runs(reader: Client) -> None:
    answer = reader.get("/compare/?runs=one,<b>")
    assert answer.status_code == 400
    assert b"is not a run ID" in answer.content
    assert b"<b>" not in answer.content


def test_strangers_see_nothing(anyone: Client) -> None:
    assert anyone.get(f"{COMPARE}?runs=one,two").status_code == 401
    assert anyone.get("/compare/?runs=one,two").status_code == 302


@pytest.mark.parametrize(("name", "way"), [("LOWER", "less"), ("HIGHER", "more")])
def test_the_rule_of_better_is_the_documented_one(name: str, way: str) -> None:
    rule = re.search(rf"const {name} = \[(.*?)\]", (STATIC / "compare" / "direction.js").read_text(), re.DOTALL)
    told = re.search(rf"^\| {way} \|(.*)\|$", REFERENCE, re.MULTILINE)
    assert rule
    assert told
    assert re.findall(r'"(\w+)"', rule[1]) == re.findall(r"`(\w+)`", told[1]) == list(getattr(directions, name))


@pytest.mark.parametrize(
    ("key", "way"),
    [
        ("val_loss", -1),
        ("valLoss", -1),
        ("test/RMSE", -1),
        ("test_recall_at_10", 1),
        ("recall_loss", -1),
        ("val/acc1", 1),
        ("valAcc5", 1),
        ("map50-95", 1),
        ("err5", -1),
        ("f1", 1),
        ("query_weights_mean", 0),
        ("fit2", 0),
        # The word "mae" is not in it, nor is "loss".
        ("maelstrom", 0),
        ("glossary", 0),
    ],
)
def test_a_word_of_the_key_decides(key: str, way: int) -> None:
    assert directions.direction(key) == way
    assert directions.lower_is_better(key) == (way < 0)


def test_the_documented_parameters_are_those_of_the_address() -> None:
    defaults = re.search(r"const DEFAULTS = \{(.*?)\};", (STATIC / "compare.js").read_text(), re.DOTALL)
    assert defaults
    names = set(re.findall(r'"?([\w-]+)"?: "', defaults[1]))
    rows = re.findall(r"^\| (`.*?) \|", REFERENCE.partition("## The address")[2], re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`([\w-]+)`", row)} == names


Vector = tuple[float, ...]
# Severity 1 of Machado, Oliveira and Fernandes (2009), https://doi.org/10.1109/TVCG.2009.113, over linear RGB.
SIGHT: dict[str, list[Vector]] = {
    "normal": [(1, 0, 0), (0, 1, 0), (0, 0, 1)],
    "protanopia": [(0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)],
    "deuteranopia": [(0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.01182, 0.04294, 0.968881)],
    "tritanopia": [(1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.3039)],
}
LMS: list[Vector] = [
    (0.4122214708, 0.5363325363, 0.0514459929), (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
]  # fmt: skip
OKLAB: list[Vector] = [
    (0.2104542553, 0.793617785, -0.0040720468), (1.9779984951, -2.428592205, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.808675766),
]  # fmt: skip


def linear(colour: str) -> Vector:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    return tuple(part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)


def times(matrix: list[Vector], vector: Vector) -> Vector:
    return tuple(sum(a * b for a, b in zip(line, vector, strict=True)) for line in matrix)


def seen(colour: str, sight: str) -> Vector:
    """In OKLab."""
    light = tuple(min(max(part, 0.0), 1.0) for part in times(SIGHT[sight], linear(colour)))
    return times(OKLAB, tuple(max(part, 0.0) ** (1 / 3) for part in times(LMS, light)))


def contrast(one: str, other: str) -> float:
    """Of WCAG."""
    low, high = sorted(
        sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear(x), strict=True)) for x in (one, other)
    )
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_ten_colours_are_told_apart_with_any_sight(theme: str) -> None:
    value = rf"[^;]*var\(--{theme}, (#\w{{6}})\)"
    panel = re.search(rf"--panel:{value}", (STATIC / "styles/base/theme.css").read_text())
    colours = re.findall(rf"--run-\d:{value}", (STATIC / "styles/compare/colours.css").read_text())
    assert panel
    assert len(colours) == 10
    assert min(contrast(colour, panel[1]) for colour in colours) >= 3
    for sight in SIGHT:
        places = [seen(colour, sight) for colour in colours]
        assert (
            min(sum((a - b) ** 2 for a, b in zip(*pair, strict=True)) ** 0.5 for pair in combinations(places, 2)) > 0.09
        )
