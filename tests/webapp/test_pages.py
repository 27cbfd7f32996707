"""The pages as the server sends them; tests/browser looks at them as a person does."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from store.models import QuickTest
from tests.webapp.samples import Sample
from webapp.pages import ago
from webapp.runs import Cursor, CursorError
from webapp.sparkline import sparkline


def test_an_empty_list_says_how_to_get_a_first_run(reader: Client) -> None:
    assert b"make train" in reader.get("/").content


def test_the_list_shows_what_a_run_is(reader: Client, sample: Sample) -> None:
    Sample("cold", name="<b>quick-test-8</b>").announce("failed", "MLflow is away")
    page = reader.get("/").content.decode()
    for text in ("quick-test-7", "two-tower", "finished", "0.1182", "adagrad", "lr 0.05", "warm", "not warmed"):
        assert text in page
    assert "&lt;b&gt;quick-test-8" in page
    assert "<b>quick-test-8" not in page
    assert re.search(r'<path d="M3', page)


def test_the_list_pages_back(reader: Client) -> None:
    for number in range(3):
        Sample(f"run{number}", name=f"name-{number}").announce()
    first = reader.get("/?limit=2").content.decode()
    older = re.search(r'rel="next" href="([^"]+)"', first)
    assert older
    assert "name-0" not in first
    second = reader.get(older[1]).content.decode()
    assert "name-0" in second
    assert "name-1" not in second
    assert 'rel="next"' not in second
    assert reader.get("/?before=x").status_code == 400


def test_pages_cost_the_same_queries_however_much_they_show(
    reader: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for count in (1, 12):
        for number in range(count):
            Sample(f"run{count}x{number}").announce(quick_test=100 * count + number)
        with django_assert_num_queries(5):
            reader.get("/")
        with django_assert_num_queries(5):
            reader.get(f"/runs/run{count}x0/")


@pytest.mark.parametrize(("epochs", "resolution"), [(20, "full"), (2000, "overview")])
def test_a_run_page_asks_for_every_epoch_of_a_short_run(reader: Client, epochs: int, resolution: str) -> None:
    Sample("run", epochs=epochs).announce()
    assert f'data-resolution="{resolution}"' in reader.get("/runs/run/").content.decode()


def test_a_run_page_holds_the_summary(reader: Client, sample: Sample) -> None:
    page = reader.get("/runs/abc123def456/").content.decode()
    found = re.search(r'<script id="summary" type="application/json">(.*?)</script>', page)
    assert found
    assert json.loads(found[1]) == reader.get("/api/runs/abc123def456/").json()


def test_a_page_of_an_unknown_run_is_there_and_waits(reader: Client) -> None:
    response = reader.get("/runs/nobody/")
    assert response.status_code == 200
    assert b'"state": "unknown"' in response.content


def test_a_quick_test_leads_to_its_run(reader: Client, sample: Sample) -> None:
    assert reader.get("/quick-tests/7/")["Location"] == "/runs/abc123def456/"


def test_a_quick_test_without_a_run_waits_for_one(reader: Client) -> None:
    QuickTest.objects.create(pk=9)
    for number in (9, 10):
        page = reader.get(f"/quick-tests/{number}/")
        assert page.status_code == 200
        assert f"Quick test {number}" in page.content.decode()
        assert f'data-api="/api/quick-tests/{number}/"' in page.content.decode()


def test_pages_are_compressed(reader: Client, sample: Sample) -> None:
    assert reader.get("/", headers={"Accept-Encoding": "gzip"})["Content-Encoding"] == "gzip"


def test_a_sparkline_has_a_gap_where_there_is_no_value() -> None:
    drawn = sparkline([3.0, None, 1.0, 2.0])
    assert drawn.line == "M3.0 3.0M68.3 25.0L101.0 14.0"
    assert drawn.end == (101.0, 14.0)
    assert drawn.label == "from 3 to 2, least 1"
    assert sparkline([]).end is None
    assert sparkline([None]).line == ""
    assert sparkline([5.0, 5.0]).line == "M3.0 25.0L101.0 25.0"


def test_a_cursor_survives_its_text() -> None:
    cursor = Cursor(datetime(2026, 1, 2, 3, 4, 5, 678901, UTC), "abc_1-x")
    assert Cursor.parse(str(cursor)) == cursor
    with pytest.raises(CursorError):
        Cursor.parse(f"{'9' * 18}_a")


@pytest.mark.parametrize(
    ("passed", "words"),
    [(-5, "just now"), (59, "just now"), (60, "1 min ago"), (7300, "2 h ago"), (200_000, "2 d ago")],
)
def test_ago(passed: int, words: str) -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    assert ago(now - timedelta(seconds=passed), now) == words
