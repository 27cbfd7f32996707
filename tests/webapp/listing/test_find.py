"""Which runs a query finds, in which order, and that pages fit together, whatever the order."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest
from django.utils import timezone

from store.models import QuickTest, Run
from tests.webapp.listing.conftest import NOON, Make
from webapp.annotations.change import Change
from webapp.listing import conditions
from webapp.listing.find import find
from webapp.listing.query import parse
from webapp.listing.sorting import Cursor, Sort
from webapp.visibility.reader import NOTHING


def found(text: str, sort: str = "name") -> list[str]:
    page = find(parse(text), Sort.parse(sort), 50, hidden=NOTHING)
    return [listed.run.run_id for listed in [*page.pinned, *page.runs]]


@pytest.fixture
def runs(make: Make) -> None:
    make(
        "a1",
        {"optimizer": "adam", "lr": "1e-3", "path": "x" * 300},
        {"recall": 0.3, "batch/loss": 1.0},
        name="a",
        experiment_name="two tower",
        start_time=NOON,
        end_time=NOON + timedelta(hours=1),
        epochs=50,
    )
    make(
        "b2",
        {"optimizer": "adagrad", "lr": "0.1"},
        {"recall": 0.1},
        {"team": "vision", "owner": "bob", "mlflow.parentRunId": "a1"},
        parent="a1",
        name="b",
        status="FAILED",
        start_time=NOON + timedelta(days=1),
        epochs=10,
    )
    make("c3", {"optimizer": "Adam"}, {"recall": None}, {"team": "speech"}, name="c", status="RUNNING")
    make("d4", {"lr": "auto"}, {"batch/loss": 2.0}, name="d 100%_\\", experiment_name="Two Towers")
    QuickTest.objects.create(pk=7, mlflow_run_id="c3")
    Change(tags={"owner": "ada", "good": ""}).make(["a1"], "ada", NOTHING)
    Change(tags={"owner": "bob"}, archived=True).make(["d4"], "ada", NOTHING)
    Change(pinned=True).make(["c3"], "ada", NOTHING)


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("few", [1000, 0], ids=["listed", "looked at"])
@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("", "c3 a1 b2"),
        ("TOWER", "a1"),
        ("tower is:all", "a1 d4"),
        ("b2", "b2"),
        ("7", "c3"),
        ("quick_test < 8", "c3"),
        ('"100%_" is:all', "d4"),
        ("% is:all", "d4"),
        ('"\\\\" is:all', "d4"),
        ("nothing", ""),
        ("status = failed", "b2"),
        ("status != finished", "c3 b2"),
        ('experiment = "two tower"', "a1"),
        ("name ~ A", "a1"),
        ("name != a", "c3 b2"),
        ("run = a1", "a1"),
        ("epochs >= 50", "a1"),
        ("epochs != 50", "b2"),
        ("started = 2026-01-02", "a1"),
        ("started > 2026-01-02", "b2"),
        ("started >= 2026-01-02", "a1 b2"),
        ("started < 2026-01-03T12:00", "a1"),
        ("started <= 2026-01-03T13:00+01:00", "a1 b2"),
        ("started != 2026-01-02", "b2"),
        ("ended > 2026-01-01", "a1"),
        ("param.optimizer = adam", "a1"),
        ("param.optimizer ~ ADA", "c3 a1 b2"),
        ("param.optimizer != adam", "c3 b2"),
        ("param.lr = 0.001", "a1"),
        ('param.lr = "0.001"', ""),
        ('param.lr = "1e-3"', "a1"),
        ("param.lr > 0.01", "b2"),
        ("param.lr is:all", "a1 b2 d4"),
        ("param.lr = auto is:all", "d4"),
        ("param.path ~ xx", "a1"),
        ("metric.recall > 0.05", "a1 b2"),
        ("metric.recall > 0.05 and param.optimizer = adagrad", "b2"),
        ("metric.recall", "c3 a1 b2"),
        ("metric.batch/loss <= 2 is:all", "a1 d4"),
        ('metric."batch/loss" = 1', "a1"),
        ("metric.recall != 0.1", "c3 a1"),
        ("metric.recall < 9", "a1 b2"),
        ("metrics.recall > 0.2 AND params.optimizer = 'adam' AND attributes.status = 'FINISHED'", "a1"),
        ("metrics.`recall` <= 0.1", "b2"),
        ("params.optimizer LIKE 'ada%'", "a1 b2"),
        ("param.optimizer ILIKE 'ADA_'", "c3 a1"),
        ("parameter.optimizer IN ('adam', 'sgd')", "a1"),
        ("params.optimizer NOT IN ('adam')", "c3 b2"),
        ("params.lr IS NULL", "c3"),
        ("params.lr IS NOT NULL is:all", "a1 b2 d4"),
        ("tags.owner = 'ada'", "a1"),
        ("attributes.run_name = 'b'", "b2"),
        ("run.run_id IN ('a1', \"b2\")", "a1 b2"),
        ("attr.start_time > 1767355200000", "b2"),
        ("run_name NOT IN ('a')", "c3 b2"),
        ("tags.team = 'vision'", "b2"),
        ("tags.team != 'vision'", "c3"),
        ("tags.team LIKE '%s%'", "c3 b2"),
        ("tags.team IS NULL", "a1"),
        ("tags.owner IS NOT NULL", "a1 b2"),
        ("tags.owner IS NULL is:all", "c3"),
        ("tags.owner != 'ada' is:all", "b2 d4"),
        ("tags.owner IN ('ada', 'bob') is:all", "a1 b2 d4"),
        ("tags.owner = 'bob' and tags.team = 'vision'", "b2"),
        ("tags.mlflow.parentRunId = 'a1'", "b2"),
        ("tags.`mlflow.parentRunId` = 'a1'", "b2"),
        ("parent = a1", "b2"),
        ("parent in ('a1', 'c3')", "b2"),
        ("parent = c3", ""),
        ("tag.owner = ada", "a1"),
        ("tag.owner", "a1 b2"),
        ("tag.good", "a1"),
        ('tag.good = ""', "a1"),
        ("tag.owner ~ B is:all", "b2 d4"),
        ("is:pinned", "c3"),
        ("is:archived", "d4"),
        ("is:all", "c3 a1 b2 d4"),
    ],
)  # fmt: skip
def test_what_a_query_finds(text: str, ids: str, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pinned ones first, others by name. Either way of asking finds the same."""
    monkeypatch.setattr(conditions, "FEW", few)
    assert found(text) == ids.split()


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("few", [1000, 0], ids=["listed", "looked at"])
@pytest.mark.parametrize(
    ("text", "ids"), [("metric.recall > 0.2", "a1"), ("metric.recall > 0", "b2 a1"), ("param.optimizer = adam", "a1")]
)
def test_a_condition_on_what_is_sorted_by(text: str, ids: str, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditions, "FEW", few)
    assert found(text, "metric.recall") == ids.split()
    assert found(text, "-metric.recall") == ids.split()[::-1]
    assert sorted(found(text, "param.optimizer")) == sorted(ids.split())


SORTS = ["announced", "name", "status", "epochs", "started", "ended", "param.lr", "param.x y", "metric.recall"]


@pytest.mark.parametrize("limit", [1, 2, 3, 30])
@pytest.mark.parametrize("sort", [*SORTS, *(f"-{sort}" for sort in SORTS)])
def test_pages_fit_together_forwards_and_backwards(make: Make, sort: str, limit: int) -> None:
    """With equal values, missing ones, numbers that are texts, and a pinned run."""
    for number in range(11):
        make(
            f"run{number}",
            {"lr": ["0.1", "auto", "1e-1", "best", "7"][number % 5]} if number % 3 else {},
            {"recall": None if number % 4 == 1 else number % 3 / 7} if number % 5 else {},
            name=f"name {number % 4}",
            status=["FINISHED", "FAILED", "RUNNING"][number % 3],
            epochs=None if number % 4 == 0 else number // 2,
            start_time=None if number % 5 == 0 else NOON + timedelta(microseconds=number // 3),
        )
    Change(pinned=True).make(["run4"], "ada", NOTHING)
    order = Sort.parse(sort)
    pages, cursor = [], None
    while True:
        page = find(parse(""), order, limit, cursor, hidden=NOTHING)
        ids = [listed.run.run_id for listed in page.runs]
        pages.append(ids)
        assert [listed.run.run_id for listed in page.pinned] == (["run4"] if cursor is None else [])
        if page.next is None:
            break
        cursor = Cursor.parse(page.next.text(order), order)
    whole = [run_id for ids in pages for run_id in ids]
    assert len(whole) == 10
    assert set(whole) == set(Run.objects.exclude(pk="run4").values_list("pk", flat=True))
    backwards = [pages[-1]]
    while page.previous:
        page = find(parse(""), order, limit, Cursor.parse(page.previous.text(order), order), hidden=NOTHING)
        backwards.append([listed.run.run_id for listed in page.runs])
    assert len(page.pinned) == 1, "the first page again, as it begins"
    assert [run_id for ids in reversed(backwards) for run_id in ids] == whole


def test_values_are_in_order_and_what_has_none_comes_last(make: Make) -> None:
    for run_id, value in {"low": 0.1, "none": None, "high": 0.9}.items():
        make(run_id, {"size": str(value)} if value else {"size": "tiny"}, {"recall": value})
    assert found("", "metric.recall") == ["low", "high", "none"]
    assert found("", "-metric.recall") == ["high", "low", "none"]
    assert found("", "param.size") == ["low", "high", "none"]
    assert found("", "-param.size") == ["high", "low", "none"]
    make("missing")
    assert found("", "-param.size") == ["high", "low", "none", "missing"]


def test_a_metric_has_statistics_unless_its_own_key_ends_so(make: Make) -> None:
    make("a", {}, {"val_loss": [3.0, 1.0, 2.0], "x": [0.0, 9.0]})
    make("b", {}, {"val_loss": [2.0, 4.0], "x": [5.0, 1.0], "x.max": 7.0}, name="b")
    make("c", {}, {"val_loss": math.inf, "x.max": -math.inf}, name="c")
    assert found("metric.val_loss < 2.5") == ["a"]
    assert found("metric.val_loss.min < 1.5") == ["a"]
    assert found("metric.val_loss.best = 2") == ["b"]
    assert found("metric.val_loss.max = 4 and metric.val_loss.first = 2 and metric.val_loss.count = 2") == ["b"]
    assert found("metric.x.max > 6") == ["b"], "the key of its own"
    assert found('metric."x".max > 6') == ["a"]
    assert found("metric.`x`.max > 6") == ["a"]
    assert found("metric.`x.max` < 0") == ["c"]
    assert found("metric.val_loss > 1e308") == ["c"]
    assert found("", "metric.val_loss.min") == ["a", "b", "c"]
    assert found("", "-metric.x.max") == ["b", "c", "a"]
    assert found("", "-metric.`x`.max") == ["a", "b", "c"]
    assert found("", "metrics.val_loss DESC") == ["c", "b", "a"]


def test_nan_comes_after_values_and_before_what_is_missing(make: Make) -> None:
    for run_id, metrics in {"missing": {}, "nan": {"loss": None}, "one": {"loss": 1.0}, "two": {"loss": 2.0}}.items():
        make(run_id, {}, metrics)
    assert found("", "metric.loss") == ["one", "two", "nan", "missing"]
    assert found("", "metrics.loss DESC") == ["two", "one", "nan", "missing"]
    assert found("", "attributes.start_time ASC") == found("", "started")


def test_a_run_that_moves_does_not_break_the_pages(make: Make) -> None:
    for number in range(4):
        make(f"run{number}")
    first = find(parse(""), Sort(), 2, hidden=NOTHING)
    Run.objects.filter(pk="run0").update(announced_at=timezone.now())
    second = find(parse(""), Sort(), 2, first.next, hidden=NOTHING)
    assert [listed.run.run_id for listed in second.runs] == ["run1"]
