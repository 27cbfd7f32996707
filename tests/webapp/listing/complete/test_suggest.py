"""What is suggested at every kind of position, and that it can be written."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.models import RunTag
from tests.webapp.listing.complete.conftest import HOSTILE, is_tag
from tests.webapp.listing.conftest import Make
from webapp.listing import known
from webapp.listing.complete import suggest
from webapp.listing.complete.suggest import MOST, complete
from webapp.listing.complete.suggestion import Suggestion
from webapp.listing.fields import FIELDS
from webapp.listing.known import forget
from webapp.listing.query import LONGEST, QueryError, parse
from webapp.listing.unknown import unknown
from webapp.listing.view import View
from webapp.visibility.reader import NOTHING


def offered(marked: str, hidden: frozenset[str] = NOTHING) -> list[Suggestion]:
    """The suggestions at the cursor, which is written as ``|``."""
    before, _, after = marked.partition("|")
    return complete(before + after, len(before), hidden).suggestions


def texts(marked: str, hidden: frozenset[str] = NOTHING) -> list[str]:
    return [one.text for one in offered(marked, hidden)]


STARTS = [
    "metric.", "param.", "tag.", "status", "experiment", "name", "run", "parent", "quick_test", "epochs", "started",
    "ended", "is:pinned", "is:archived", "is:deleted", "is:all",
]  # fmt: skip


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        ("|", STARTS),
        ("adam |", ["and", *STARTS]),
        ("adam and |", STARTS),
        ("st|", ["status", "started", "metric.system/cpu"]),
        ("metrics|", ["metrics."]),
        ("attr|", ["attributes."]),
        ("start_|", ["start_time"]),
        ("is:a|", ["is:archived", "is:all"]),
        ("pinn|", ["is:pinned"]),
        ("loss|", ["metric.loss", 'metric."batch/val loss"', "metric.val_loss"]),
        ("optim|", ["param.optimizer", "param.optimizer_eps"]),
        ("adam and own|er", ["tag.owner"]),
        ("two|", ['experiment = "two tower"']),
        ("metric.|", ["metric.acc", 'metric."acc.min"', 'metric."batch/val loss"', "metric.loss", "metric.val_loss",
                      "metric.system/cpu"]),
        ("metric.val|", ["metric.val_loss", 'metric."batch/val loss"']),
        ("metrics.`val|", ["metrics.`val_loss`", "metrics.`batch/val loss`"]),
        ("METRIC.VAL|", ["METRIC.val_loss", 'METRIC."batch/val loss"']),
        ("metric.val_loss.|", [f"metric.val_loss.{name}" for name in ("min", "max", "first", "last", "count", "best")]),
        ("metric.val_loss.m|", ["metric.val_loss.min", "metric.val_loss.max"]),
        ("metric.acc.mi|", ['metric."acc".min', 'metric."acc.min"']),
        ("metric.`batch/val loss`.b|", ["metric.`batch/val loss`.best"]),
        ("metric.nothing.|", []),
        ("metric.loss|", ["metric.loss", 'metric."batch/val loss"', "metric.val_loss"]),
        ("metric.val_loss|", []),
        ("params.|", ["params.lr", "params.note", "params.optimizer", "params.optimizer_eps"]),
        ("tag.g|", ["tag.good"]),
        ("attributes.run|", ["attributes.run_id", "attributes.run_name"]),
        ("epochs |", ["=", "!=", ">", ">=", "<", "<="]),
        ("epochs >|", [">="]),
        ("metric.loss |", ["=", "!=", ">", ">=", "<", "<=", "and"]),
        ("status |", ["=", "!=", "like", "ilike", "in (", "not in ("]),
        ("param.lr i|", ["ilike", "in (", "is null", "is not null", "is:pinned", "is:archived", "is:deleted", "is:all",
                         'metric."acc.min"', "param.optimizer", "param.optimizer_eps"]),
        ("name l|", ["like", "metric.loss", 'metric."batch/val loss"', "metric.val_loss", "param.lr"]),
        ("status = |", ["failed", "finished", "killed", "running", "scheduled"]),
        ("status =|", [" failed", " finished", " killed", " running", " scheduled"]),
        ("status = F|", ["FAILED", "FINISHED"]),
        ("attributes.status = 'f|", ["'failed'", "'finished'"]),
        ("status in (failed, k|", ["killed"]),
        ("param.optimizer = |", ["adagrad", "adam", "sgd"]),
        ("param.optimizer != ad|am", ["adagrad", "adam"]),
        ("param.optimizer like |", ['"adagrad"', '"adam"', '"sgd"']),
        ("param.optimizer > |", []),
        ("param.lr > |", ["0.001", "0.002", "0.003"]),
        ("params.note = '|", ["'two words'"]),
        ("param.note = t|", ['"two words"']),
        ("tag.owner = |", ["ada", '"it\'s 5"']),
        ("tag.owner = 'i|", ['"it\'s 5"']),
        ("tag.good = |", ['""']),
        ("experiment ~ tow|", ['"two tower"']),
        ("name = |", ['"quick 0"', '"quick 1"', '"quick 2"']),
        ("metric.loss > |", []),
        ("started > |", []),
        ("param.unknown = |", []),
        ('"loss|', []),
    ],
)  # fmt: skip
def test_what_is_suggested(marked: str, expected: list[str]) -> None:
    assert texts(marked) == expected


@pytest.mark.usefixtures("runs")
def test_a_suggestion_says_what_it_is_and_how_many_runs_have_it() -> None:
    [name] = [one for one in offered("batch|") if one.kind == "metric"]
    assert name == Suggestion('metric."batch/val loss"', "batch/val loss", "metric", 3)
    assert [(one.label, one.runs) for one in offered("tag.owner = |")] == [("ada", 2), ("it's 5", 1)]
    assert offered("two|")[-1] == Suggestion('experiment = "two tower"', "two tower", "experiment", 3)
    assert {one.text: one.runs for one in offered("status = |")}["finished"] == 3
    assert offered("epochs |")[0] == Suggestion("=", "= is", "operator")
    assert offered("tag.good = |")[0].label == "(empty)"


def test_names_are_found_beyond_the_first_ones(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "MOST_NAMES", 3)
    make("a", {}, {f"m{number}": 1.0 for number in range(9)})
    assert texts("metric.m|")[:3] == ["metric.m0", "metric.m1", "metric.m2"]
    assert texts("metric.m7|x") == ["metric.m7"]


def test_at_most_twenty_are_suggested_and_none_makes_the_query_too_long(make: Make) -> None:
    make("a", {f"p{number:03}": "1" for number in range(300)}, {})
    make("b", {"p000": "2"} | {f"q{number}": str(number) for number in range(30)})
    assert len(texts("param.p|")) == MOST
    long = "x" * (LONGEST - 8)
    assert texts(f"{long} param.|") == []
    assert texts("param.|" + " x" * 990)


def test_counts_stop(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "MOST_COUNTED", 2)
    for number in range(3):
        make(f"run{number}", {"lr": "1"})
    assert [one.runs for one in offered("param.l|") if one.kind == "param"] == [2]


def test_hidden_names_and_values_are_never_suggested(make: Make) -> None:
    hidden = frozenset({"secret"})
    make("a", {"optimizer": "adam"}, {"loss": 1.0}, experiment_name="open", name="run a")
    make(
        "b", {"optimizer": "plutonium", "fuse": "1"}, {"yield": 1.0, "loss": 0.0}, experiment_name="secret", name="fat"
    )
    known.forget()
    for marked in ("|", "y|", "fu|", "metric.|", "param.|", "param.optimizer = |", "experiment = |", "name = |",
                   "sec|", "metric.yield.|", "param.fuse = |", "metric.loss.|"):  # fmt: skip
        found = " ".join(texts(marked, hidden))
        assert not any(word in found for word in ("plutonium", "fuse", "yield", "secret", "fat")), marked
    assert texts("param.optimizer = |", hidden) == ["adam"]
    assert texts("metric.|", hidden) == ["metric.loss"]
    assert [one.runs for one in offered("metric.|", hidden)] == [None], "it would count hidden runs"
    assert [one.runs for one in offered("experiment = |", hidden)] == [1]
    assert "secret" in texts("experiment = |", NOTHING)


def test_a_common_name_is_suggested_even_if_hidden_runs_come_first(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "MOST_ROWS", 2)
    for number in range(4):
        make(f"hidden{number}", {}, {"loss": 0.0, "only": 0.0}, experiment_name="secret")
    make("open", {}, {"loss": 1.0}, experiment_name="open")
    assert texts("metric.|", frozenset({"secret"})) == ["metric.loss"]


CONTINUED = [
    "",
    " failed)",
    "failed)",
    " 1",
    ' "1"',
    " 2026-01-01",
    " failed",
    " x",
    ' "x"',
    ")",
    " 1)",
    ' "x")',
    "x",
    "loss",
]


def goes_on(text: str) -> bool:
    """Whether it is a query, or the beginning of one."""
    for more in CONTINUED:
        try:
            parse(text + more)
        except QueryError:
            continue
        return True
    return False


WORDS = st.sampled_from(
    ["and", "adam", "param.lr", "metric.acc.", "metric.loss", 'metric."val loss"', "metrics.`val", "params.", "tag.",
     "status", "status = failed", "epochs >", "started", "= ", "!=", "~", "like", "in (", "ilike '", "it's", "is:",
     'param."a', "experiment =", "name !=", "attributes.", "m", "o", "a", "'", '"', "k", "tags.`", "param.`tick` ="]
)  # fmt: skip
NAMES = st.builds(
    lambda prefix, name, cut: prefix + name[:cut],
    st.sampled_from(
        ["", "metric.", "params.", "tag.", 'param."', "tags.`", "param.lr = ", "experiment = ", "tag.and = '"]
    ),
    st.sampled_from(HOSTILE),
    st.integers(0, 4),
)
QUERIES = st.lists(WORDS | NAMES, max_size=4).map(" ".join)


@given(QUERIES, st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_query_with_a_suggestion_is_the_beginning_of_a_query(hostile: None, text: str, data: st.DataObject) -> None:
    cursor = data.draw(st.integers(0, len(text)) | st.just(len(text)))
    found = complete(text, cursor, NOTHING)
    assert len(found.suggestions) <= MOST
    before = text[: found.start]
    if goes_on(before):
        for one in found.suggestions:
            assert goes_on(before + one.text), one


def names_that(kind: str) -> set[str]:
    """The hostile names that this kind can have."""
    return {name for name in HOSTILE if kind != "tag" or is_tag(name)}


@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize("kind", ["metric", "param", "tag"])
@pytest.mark.parametrize("mark", ["", '"', "`", "'"])
def test_every_name_is_written_as_itself(kind: str, mark: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The condition has the name, whatever characters are in it."""
    monkeypatch.setattr(suggest, "MOST", 100)
    found = {one.label: parse(one.text).conditions for one in offered(f"{kind}s.{mark}|")}
    assert names_that(kind) <= found.keys()
    for name, [condition] in found.items():
        assert (condition.field, condition.key, condition.statistic, condition.operator) == (kind, name, "", "")


@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize("operator", ["=", "~", "like", "in ("])
@pytest.mark.parametrize("kind", ["param", "tag"])
def test_every_value_is_written_as_itself(kind: str, operator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suggest, "MOST", 100)
    end = ")" if operator == "in (" else ""
    for named in (one for one in offered(f"{kind}.|") if one.label in HOSTILE):
        for mark in ("", '"', "'"):
            wanted = named.label if kind == "tag" else HOSTILE[-1 - HOSTILE.index(named.label)]
            before = f"{named.text} {operator} "
            [one] = offered(f"{before}{mark}|")
            [condition] = parse(before + one.text + end).conditions
            operand = FIELDS[kind].operand(condition.operator, condition.value, condition.quoted)
            assert (condition.key, operand) == (named.label, (wanted[:200],) if end else wanted[:200])


def test_mlflows_tags_are_completed_too(runs: None) -> None:
    RunTag.objects.create(run_id="run0", key="team", text="vision")
    RunTag.objects.create(run_id="run1", key="owner", text="grace")
    forget()
    assert texts("tags.t|") == ["tags.team"]
    assert texts("tags.team = '|") == ["'vision'"]
    assert texts("tag.owner = |") == ["ada", "grace", '"it\'s 5"']
    assert unknown(View(parse("tag.team = vision")), NOTHING) == []
    assert unknown(View(parse("tag.teem = vision")), NOTHING) == ["No run has the tag teem. The nearest is team."]
