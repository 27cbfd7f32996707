"""Completion as JSON: its answers, its bounds, and its errors."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.webapp.listing.conftest import Make
from webapp.listing import known
from webapp.visibility.models import Restriction

ADDRESS = "/api/complete"
CURSORS = [
    "",
    "l",
    "tag.",
    "metric.",
    "metric.val_loss.",
    "param.optimizer = ",
    "status = ",
    "experiment = ",
    "param.lr ",
]


@pytest.mark.usefixtures("runs")
def test_the_characters_to_replace_and_what_with(reader: Client) -> None:
    answer = reader.get(ADDRESS, {"q": "\N{FIRE} metric.batch < 3", "at": "14"})
    suggestion = {"text": 'metric."batch/val loss"', "label": "batch/val loss", "kind": "metric", "runs": 3}
    assert answer.json() == {"start": 2, "end": 14, "suggestions": [suggestion]}
    assert answer["Cache-Control"] == "no-store"
    assert answer["Content-Type"] == "application/json"
    at_the_end = reader.get(ADDRESS, {"q": "status = fi"}).json()
    assert [one["text"] for one in at_the_end["suggestions"]] == ["finished"]
    assert reader.get(ADDRESS).json()["suggestions"][0]["text"] == "metric."


@pytest.mark.parametrize(
    ("parameter", "query", "why"),
    [
        ("at", "q=abc&at=4", "beyond the end"),
        ("at", "q=abc&at=-1", "not a whole number"),
        ("at", "q=abc&at=x", "not a whole number"),
        ("at", f"q=abc&at={'9' * 400}", "not a whole number"),
        ("at", "q=abc&at=", "not a whole number"),
        ("q", "q=a%00b", "invalid character"),
        ("q", f"q={'x' * 2001}", "at most 2,000"),
    ],
)
def test_what_cannot_be_used_is_named(reader: Client, parameter: str, query: str, why: str) -> None:
    answer = reader.get(f"{ADDRESS}?{query}")
    assert answer.status_code == 400
    assert answer.json()["parameter"] == parameter
    assert why in answer.json()["error"]


def test_it_only_reads_and_only_for_readers(reader: Client, anyone: Client) -> None:
    assert reader.post(ADDRESS).status_code == 405
    assert reader.head(ADDRESS).status_code == 200
    assert anyone.get(ADDRESS).status_code == 401


@pytest.mark.usefixtures("runs")
def test_bytes_that_are_no_text_are_answered(reader: Client) -> None:
    for text in ("%ff%fe", "%ed%a0%80", "%f0%9f%94%a5", "%22%5c", "'%22%60", "%0a", "%e2%80%ae"):
        assert reader.get(f"{ADDRESS}?q=metric.{text}").status_code == 200


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.usefixtures("runs")
def test_it_costs_few_statements_whatever_there_is(reader: Client, make: Make, hidden: bool) -> None:
    if hidden:
        Restriction.objects.create(experiment_name="secret")

    def statements(query: str) -> int:
        known.forget()
        with CaptureQueriesContext(connection) as queries:
            assert reader.get(ADDRESS, {"q": query}).status_code == 200
        return len(queries)

    before = [statements(query) for query in CURSORS]
    for number in range(30):
        keys = {f"key{number}{at}": "1" for at in range(30)}
        make(f"more{number}", keys | {"optimizer": str(number)}, dict.fromkeys(keys, 1.0), experiment_name="secret")
    assert [statements(query) for query in CURSORS] <= [each + 1 for each in before]
    assert max(before) <= 16


@pytest.mark.usefixtures("runs")
def test_restricting_an_experiment_applies_at_once(reader: Client, make: Make) -> None:
    make("secret", {"fuse": "short"}, {}, experiment_name="secret")
    assert "fuse" in reader.get(ADDRESS, {"q": "param."}).content.decode()
    Restriction.objects.create(experiment_name="secret")
    for query in ("param.", "fu", "sec", "experiment = ", "param.fuse = "):
        found = reader.get(ADDRESS, {"q": query}).json()["suggestions"]
        assert not [one for one in found if "fuse" in one["text"] or "short" in one["text"] or "secret" in one["text"]]
