"""All that the list shows as a file."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client

from tests.webapp.listing.conftest import Make
from webapp.annotations.change import Change
from webapp.listing import export
from webapp.visibility.reader import NOTHING

FIRST = ["run_id", "name", "experiment", "status", "epochs", "unit", "started", "ended"]


def table(client: Client, query: dict[str, Any]) -> list[list[str]]:
    response = client.get("/runs/export.csv", query)
    assert response["Content-Disposition"] == 'attachment; filename="runs.csv"'
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.reader(io.StringIO(response.getvalue().decode("utf-8-sig"))))


@pytest.fixture
def five(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of which a page has two."""
    monkeypatch.setattr(export, "MOST", 2)
    for number in range(5):
        make(f"run{number}", {"optimizer": "=adam", "lr": "-1e-3"}, {"recall": number / 3, "loss": 1.0})
    Change(pinned=True).make(["run2"], "ada", NOTHING)


@pytest.mark.usefixtures("five")
def test_a_table_has_every_page_in_order(reader: Client) -> None:
    query = {"sort": "-metric.recall", "columns": ["metric.recall", "param.lr", "param.optimizer"], "limit": "1"}
    head, *rows = table(reader, query)
    assert head == [*FIRST, "metric.recall", "param.lr", "param.optimizer"]
    assert [row[0] for row in rows] == ["run4", "run3", "run2", "run1", "run0"], "pinned ones where the order has them"
    assert rows[0][-3:] == [str(4 / 3), "-1e-3", "'=adam"]
    assert [row[0] for row in table(reader, query | {"q": "metric.recall > 0.9"})[1:]] == ["run4", "run3"]
    assert table(reader, query | {"q": "no such run"}) == [head]
    assert table(reader, {"columns": ""})[0] == FIRST
    assert "metric.loss" in table(reader, {})[0]


@pytest.mark.usefixtures("five")
def test_json_has_the_runs_as_the_api_has_them(reader: Client) -> None:
    query = {"sort": "name", "columns": ["metric.recall"]}
    exported = json.loads(reader.get("/runs/export.json", query).getvalue())
    assert exported["runs"] == reader.get("/api/runs/", query).json()["runs"]
    assert [run["final_metrics"].keys() for run in exported["runs"]] == [{"recall"}] * 5
    assert json.loads(reader.get("/runs/export.json", {"q": "no such run"}).getvalue()) == {"runs": []}


@pytest.mark.usefixtures("five")
def test_there_is_a_most(reader: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "MOST_EXPORTED", 3)
    assert len(table(reader, {})) == 4


@pytest.mark.usefixtures("five")
@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_what_cannot_be_read_is_named(reader: Client, suffix: str) -> None:
    response = reader.get(f"/runs/export.{suffix}?q=and")
    assert (response.status_code, response.json()["parameter"]) == (400, "q")
    assert reader.post(f"/runs/export.{suffix}").status_code == 405


@pytest.mark.usefixtures("five")
@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_a_database_that_is_down_is_no_file(reader: Client, suffix: str) -> None:
    def away(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        if 'FROM "store_run"' in sql:
            raise OperationalError("away")
        return execute(sql, parameters, many, context)

    reader.raise_request_exception = False
    with connection.execute_wrapper(away):
        response = reader.get(f"/runs/export.{suffix}")
    assert response.status_code == 503
    assert "Content-Disposition" not in response
