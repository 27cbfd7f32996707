"""The list as the server sends it: all of it works as plain links and forms."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from store.models import Backfill, Run
from tests.store.samples import NOON
from tests.webapp.frameworks import Framework
from tests.webapp.listing.conftest import Make
from tests.webapp.samples import Sample
from webapp.annotations.change import Change
from webapp.listing.rows import rounded_up
from webapp.listing.sparkline import sparkline
from webapp.run.words import ago
from webapp.visibility.reader import NOTHING


def names(page: str) -> list[str]:
    return re.findall(r'class="name">\s*<a href="/runs/([\w-]+)/"', page)


def link(page: str, label: str) -> str:
    """Where the link of that text or name leads."""
    for address, attributes, text in re.findall(r'<a[^>]*?href="([^"]*)"([^>]*)>(.*?)</a>', page, re.DOTALL):
        if label in (text.replace("<wbr>", "").strip(), *re.findall(r'(?:aria-label|rel)="([^"]*)"', attributes)):
            return unescape(address)
    for rel, address in re.findall(r'<a[^>]*?rel="(\w+)" href="([^"]*)"', page):
        if rel == label:
            return unescape(address)
    raise AssertionError(f"no link {label}")


def follow(reader: Client, page: str, label: str) -> str:
    address = link(page, label)
    return reader.get(address if address.startswith("/") else f"/{address.removeprefix('./')}").content.decode()


def test_an_empty_list_says_how_to_get_a_first_run(reader: Client) -> None:
    assert b"make train" in reader.get("/").content


def test_while_earlier_runs_are_warmed_it_says_how_far_that_is(reader: Client, make: Make) -> None:
    told = Backfill.objects.create(name="eu", found=12, experiments=1, to_warm=9, done=0, listed_at=NOON)
    empty = " ".join(reader.get("/").content.decode().split())
    assert "12 ended runs in 1 experiment of MLflow eu: the newest are warmed first." in empty
    assert 'id="awaited" data-rows="/rows/"' in empty
    assert "make train" not in empty
    make("one")
    told.done = 4
    told.save()
    for text in (reader.get("/").content.decode(), reader.get("/rows/").json()["shown"]):
        assert "1 run · warming earlier runs: 4 of 9" in " ".join(text.split())
        assert "awaited" not in text
    for nothing in ({"to_warm": 0, "done": 0}, {"finished_at": NOON}):
        Backfill.objects.update(**nothing)
        assert "warming earlier" not in reader.get("/").content.decode()
        Backfill.objects.update(to_warm=9)


def test_the_list_shows_what_a_run_is(reader: Client, sample: Sample) -> None:
    Sample("cold", name="<b>quick-test-8</b>").announce("failed", "MLflow is down")
    page = reader.get("/").content.decode()
    for text in ("quick-test-7", "two-tower", "quick test 7", "finished", "0.1182", "adagrad", "warm", "not warmed"):
        assert text in page
    assert "&lt;b&gt;quick-test-8" in page
    assert "<b>quick-test-8" not in page
    assert re.search(r'<path d="M3', page)


def test_pages_lead_to_one_another_and_keep_the_view(reader: Client, make: Make) -> None:
    for number in range(5):
        make(f"run{number}", {"optimizer": "adam"}, {"recall": number / 10})
    address = "/?q=param.optimizer+%3D+adam&sort=-metric.recall&limit=2&columns=metric.recall"
    first = reader.get(address).content.decode()
    second = follow(reader, first, "next")
    third = follow(reader, second, "next")
    assert [names(page) for page in (first, second, third)] == [["run4", "run3"], ["run2", "run1"], ["run0"]]
    assert names(follow(reader, third, "prev")) == ["run2", "run1"]
    assert names(follow(reader, third, "First")) == ["run4", "run3"]
    for page in (first, second, third):
        assert 'value="param.optimizer = adam"' in page
        assert 'aria-sort="descending"' in page


def test_a_head_sorts_and_turns_round(reader: Client, make: Make) -> None:
    for run_id, loss in {"a": 0.3, "b": 0.1, "c": 0.2}.items():
        make(run_id, {}, {"val_loss": loss}, name=run_id)
    page = follow(reader, reader.get("/").content.decode(), "val_loss")
    assert names(page) == ["b", "c", "a"], "the best first"
    assert names(follow(reader, page, "val_loss")) == ["a", "c", "b"]


def test_conditions_are_chips_that_can_be_taken_away(reader: Client, make: Make) -> None:
    make("a", {"optimizer": "adam"})
    make("b", {"optimizer": "adam"}, status="FAILED")
    page = reader.get("/", {"q": "param.optimizer = adam"}).content.decode()
    narrower = follow(reader, page, "failed")
    assert names(narrower) == ["b"]
    assert 'aria-current="true">failed' in narrower
    assert names(follow(reader, narrower, "failed")) == ["b", "a"], "pressed again, all"
    assert names(follow(reader, narrower, "Remove the condition status = failed")) == ["b", "a"]


def test_columns_are_chosen(reader: Client, make: Make) -> None:
    make("a", {"optimizer": "adam", "x,&y": "7"}, {"val_loss": 0.5})
    page = reader.get("/", {"columns": ["", "param.x,&y"]}).content.decode()
    assert 'data-label="x,&amp;y">7</td>' in page
    assert 'data-label="optimizer"' not in page
    assert 'name="columns" value="metric.val_loss">' in page, "it is offered"
    assert 'data-label="' not in re.sub(
        'data-label="(epochs|started|ended)"', "", reader.get("/?columns=").content.decode()
    )


def test_columns_are_those_that_the_runs_have(reader: Client, make: Make) -> None:
    make("a", {"depth": "3", "edges": "0," * 99}, {"accuracy": 0.9, "f1": 0.8})
    page = reader.get("/").content.decode()
    labels = re.findall(r'data-label="([^"]+)"', page)
    assert labels == ["epochs", "accuracy", "f1", "depth", "edges", "started", "ended"]
    assert "…</td>" in page, "a long value is cut"


def test_groups_have_counts_and_their_best(reader: Client, make: Make) -> None:
    for number in range(7):
        make(f"adam{number}", {"optimizer": "adam"}, {"val_loss": number + 1.0})
    make("sgd", {"optimizer": "sgd"}, {"val_loss": 0.25})
    make("none", {})
    page = reader.get("/?group=param.optimizer&columns=metric.val_loss").content.decode()
    heads = re.findall(r"rowgroup.*?</tr>", page, re.DOTALL)
    assert [re.findall(r"(\d+) run", head)[0] for head in heads] == ["7", "1", "1"]
    assert "lowest val_loss <b>1.000</b>" in heads[0]
    assert [names(part) for part in page.split('class="group"')[1:]] == [
        ["adam6", "adam5", "adam4", "adam3", "adam2"], ["none"], ["sgd"],
    ] or "no value" in page  # fmt: skip
    assert len(names(follow(reader, page, "adam"))) == 7
    best = reader.get("/?group=param.optimizer&sort=-metric.val_loss").content.decode()
    assert "highest val_loss <b>7.000</b>" in best
    for group in ("status", "experiment"):
        assert reader.get(f"/?group={group}").status_code == 200


@pytest.mark.parametrize(
    ("query", "word"),
    [("epochs = many", "many"), ("optimizer = adam", "optimizer"), ("<script>", "&lt;"), ('"', "&quot;")],
)
def test_a_query_that_cannot_be_read_is_kept_and_marked(reader: Client, query: str, word: str) -> None:
    response = reader.get("/", {"q": query, "sort": "name", "limit": "25"})
    page = response.content.decode()
    assert response.status_code == 400
    assert f"<mark>{word}</mark>" in page
    assert unescape(re.findall(r'name="q"[^>]*?\svalue="([^"]*)"', page)[0]) == query
    assert '<option value="name" selected>' in page
    assert "<script>alert" not in page


@pytest.mark.parametrize(
    "address", ["limit=0", "limit=201", "sort=x", "sort=param.", "columns=loss", "group=loss", "cursor=x"]
)
def test_an_address_that_cannot_be_read_says_which_part(reader: Client, address: str) -> None:
    response = reader.get(f"/?{address}")
    assert response.status_code == 400
    assert address.split("=")[0] + ": " in unescape(response.content.decode())
    assert reader.get(f"/rows/?{address}").json()["parameter"] == address.split("=")[0]


def test_a_cursor_of_another_order_is_refused(reader: Client, make: Make) -> None:
    for number in range(3):
        make(f"run{number}")
    cursor = link(reader.get("/?limit=1").content.decode(), "next").split("cursor=")[1]
    assert reader.get(f"/?limit=1&cursor={cursor}").status_code == 200
    assert reader.get(f"/?limit=1&sort=name&cursor={cursor}").status_code == 400


def test_no_match_says_what_to_change(reader: Client, make: Make) -> None:
    make("a", name="old tower")
    Change(archived=True).make(["a"], "ada", NOTHING)
    page = reader.get("/", {"q": "tower and epochs > 5"}).content.decode()
    assert "No runs match all of these conditions" in page
    assert names(follow(reader, follow(reader, page, "Remove the condition epochs &gt; 5"), "Include them")) == ["a"]


def test_an_unknown_name_says_so_and_offers_the_nearest(reader: Client, make: Make) -> None:
    make("a", {"optimizer": "adam"}, {"val_loss": 1.0, "loss": 2.0})
    page = reader.get("/", {"q": "metric.val_los.min < 3 and param.zzz and metric.loss < 3"}).content.decode()
    assert "No run has the metric val_los. The nearest is val_loss." in page
    assert "No run has the parameter zzz.</p>" in page
    assert "the metric loss" not in page


def test_the_example_of_a_query_finds_something(reader: Client, make: Make) -> None:
    make("a", {}, {"loss": 0.25})
    page = reader.get("/").content.decode()
    [placeholder] = re.findall(r'placeholder="Search: ([^"]*)"', page)
    assert unescape(placeholder) == "metric.loss <= 0.25"
    assert names(reader.get("/", {"q": unescape(placeholder)}).content.decode()) == ["a"]


def test_archived_runs_are_hidden_and_pinned_ones_first(reader: Client, make: Make) -> None:
    for run_id in ("a", "b", "c"):
        make(run_id)
    Change(archived=True).make(["b"], "ada", NOTHING)
    Change(pinned=True, tags={"owner": "ada", "good": ""}, note="the <best>").make(["a"], "ada", NOTHING)
    page = reader.get("/").content.decode()
    assert names(page) == ["a", "c"]
    assert "the &lt;best&gt;" in page
    assert names(follow(reader, page, "owner=ada")) == ["a"]
    assert names(reader.get("/?q=is:archived").content.decode()) == ["b"]


def test_the_list_costs_the_same_queries_whatever_it_shows(reader: Client, make: Make) -> None:
    """Four are the reader and their rights. Groups look at a page of runs too, to see which columns they have."""

    def cost(address: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert reader.get(address).status_code == 200
        return len(queries)

    address = (
        "/?q=param.optimizer+%3D+adam+and+metric.recall+%3E+0+and+e&sort=-metric.recall&limit=2"
        "&columns=metric.recall&columns=param.optimizer&columns=param.lr"
    )
    costs = []
    for count in (3, 12):
        for number in range(count):
            make(f"run{count}x{number}", {"optimizer": "adam", "lr": "1"}, {"recall": number + 1.0})
        Change(tags={"a": "b"}).make(list(Run.objects.values_list("pk", flat=True)), "ada", NOTHING)
        costs.append([cost("/"), cost(address), cost("/?group=param.optimizer")])
    assert costs[0] == costs[1]
    assert costs[0] == [15, 16, 22]


def test_the_live_rows_are_sent_when_they_have_changed(reader: Client, make: Make) -> None:
    make("a")
    answer = reader.get("/rows/?sort=name")
    assert (names(answer.json()["table"]), answer.json()["shown"]) == (["a"], "1 run")
    again = reader.get("/rows/?sort=name", headers={"If-None-Match": answer["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    make("b")
    fresh = reader.get("/rows/?sort=name", headers={"If-None-Match": answer["ETag"]})
    assert (names(fresh.json()["table"]), fresh.json()["shown"]) == (["a", "b"], "2 runs")


def test_a_selection_leads_to_its_comparison(reader: Client) -> None:
    assert reader.get("/pick/?run=a&run=b&run=a&tags=")["Location"] == "/compare/?runs=a,b"
    assert reader.get("/pick/?run=a").status_code == 400
    assert reader.get("/pick/?" + "&".join(f"run=r{number}" for number in range(51))).status_code == 400


def test_who_may_not_annotate_sees_no_buttons_for_it(reader: Client, make: Make) -> None:
    make("a")
    assert b"Archive" not in reader.get("/").content
    User.objects.filter(username="ada").update(is_superuser=True)
    assert b"Archive" in reader.get("/").content


def test_pages_are_compressed(reader: Client, sample: Sample) -> None:
    for address in ("/", "/rows/"):
        assert reader.get(address, headers={"Accept-Encoding": "gzip"})["Content-Encoding"] == "gzip"


def test_a_sparkline_has_a_gap_where_there_is_no_value() -> None:
    drawn = sparkline([3.0, None, 1.0, 2.0])
    assert drawn.line == "M3.0 3.0M68.3 25.0L101.0 14.0"
    assert drawn.end == (101.0, 14.0)
    assert drawn.label == "from 3 to 2, min 1"
    assert sparkline([]).end is None
    assert sparkline([None]).line == ""
    assert sparkline([5.0, 5.0]).line == "M3.0 25.0L101.0 25.0"


@pytest.mark.parametrize(
    ("passed", "words"),
    [
        (-5, "just now"),
        (59, "just now"),
        (60, "1 min ago"),
        (7300, "2 h ago"),
        (200_000, "2 d ago"),
        (1_796_000_000, "in 1969"),
    ],
)
def test_ago(passed: int, words: str) -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    assert ago(now - timedelta(seconds=passed), now) == words


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_number_of_the_example_is_short_and_no_less(value: float) -> None:
    short = rounded_up(value)
    assert short >= value
    assert short == value or short == float(f"{short:.3e}")


def test_a_run_that_counts_steps_has_as_many_as_on_its_page(reader: Client) -> None:
    """Not as many as its history, which has those of the validations."""
    Framework("abc123def456", logged="training", size=20_000).warm()
    row = Run.objects.get()
    assert (row.unit, row.epochs) == ("step", 20_000)
    assert row.history_length
    assert row.history_length < 20_000
    assert '20000 <span class="unit">steps</span>' in reader.get("/").content.decode()
