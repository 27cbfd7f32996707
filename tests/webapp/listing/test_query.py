"""The query language: what is read, what is refused and where, and that a query's text reads as the query."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.listing.query import FLAGS, Condition, Query, QueryError, parse


def conditions(text: str) -> list[tuple[str, str, str, str]]:
    return [(found.field, found.key, found.operator, found.value) for found in parse(text).conditions]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("  \n ", []),
        ("adam", [("word", "", "~", "adam")]),
        ("two tower", [("word", "", "~", "two"), ("word", "", "~", "tower")]),
        ('"two tower"', [("word", "", "~", "two tower")]),
        ("quick-test-7 and 7", [("word", "", "~", "quick-test-7"), ("word", "", "~", "7")]),
        ("status = failed", [("status", "", "=", "failed")]),
        ("STATUS=Failed AND epochs>=50", [("status", "", "=", "Failed"), ("epochs", "", ">=", "50")]),
        ('experiment = "two tower"', [("experiment", "", "=", "two tower")]),
        ("name ~ wide", [("name", "", "~", "wide")]),
        ("param.optimizer = adam", [("param", "optimizer", "=", "adam")]),
        ("param.lr<1e-3", [("param", "lr", "<", "1e-3")]),
        ("metric.batch/loss > -0.5", [("metric", "batch/loss", ">", "-0.5")]),
        ('metric."val loss" != 2', [("metric", "val loss", "!=", "2")]),
        (r'param."a \"b\" \\" = ""', [("param", 'a "b" \\', "=", "")]),
        ("tag.owner = ada and tag.good", [("tag", "owner", "=", "ada"), ("tag", "good", "", "")]),
        ("metric.recall", [("metric", "recall", "", "")]),
        ("started > 2026-11-01", [("started", "", ">", "2026-11-01")]),
        ("ended <= 2026-11-01T12:30+01:00", [("ended", "", "<=", "2026-11-01T12:30+01:00")]),
        ("is:pinned IS:ARCHIVED", [("is", "", ":", "pinned"), ("is", "", ":", "archived")]),
        ("status", [("word", "", "~", "status")]),
        ('"and" "is:pinned"', [("word", "", "~", "and"), ("word", "", "~", "is:pinned")]),
        ("hello! a!b", [("word", "", "~", "hello!"), ("word", "", "~", "a!b")]),
        ("adam adam", [("word", "", "~", "adam")]),
        ("quick_test = 7", [("quick_test", "", "=", "7")]),
    ],
)
def test_what_is_read(text: str, found: list[tuple[str, str, str, str]]) -> None:
    assert conditions(text) == found


@pytest.mark.parametrize(
    ("text", "word", "why"),
    [
        ("optimizer = adam", "optimizer", "unknown field"),
        ("status = broken", "broken", "invalid status"),
        ("status > failed", "failed", "takes"),
        ("epochs = many", "many", "must be a whole number"),
        ("epochs = 99999999999", "99999999999", "must be a whole number"),
        ("metric.loss > high", "high", "must be a number"),
        ("metric.loss > nan", "nan", "must be a number"),
        ("param.lr > fast", "fast", "needs a number"),
        ("metric.loss ~ 3", "3", "takes"),
        ("started > yesterday", "yesterday", "invalid date"),
        ("started > 9999-12-31", "9999-12-31", "invalid date"),
        ("param.lr =", "", "missing value"),
        ("param.lr = and x", "and", "missing value"),
        ("param.lr = = 3", "=", "missing value"),
        ("= 3", "=", "missing field"),
        ("and x", "and", "between two"),
        ("x and", "and", "between two"),
        ("x and and y", "and", "between two"),
        ("a or b", "or", "joins conditions"),
        ('say "hello', '"', "unclosed"),
        ("is:gone", "is:gone", "is:pinned"),
        ('param."" = 3', 'param.""', "missing name"),
        ('""', '""', "empty quotation marks"),
        ("a\x00b", "a\x00b", "invalid character"),
        ("x" * 2001, "x", "at most 2,000"),
        (" and ".join(f"w{number}" for number in range(21)), "w20", "at most 20"),
        ("word < 3", "word", "unknown field"),
        ("param = 3", "param", "unknown field"),
    ],
)
def test_what_cannot_be_read_says_where_and_why(text: str, word: str, why: str) -> None:
    with pytest.raises(QueryError, match=why) as caught:
        parse(text)
    error = caught.value
    assert error.word == word
    assert error.before + error.word + error.after == text


def test_a_condition_is_taken_away_and_added() -> None:
    query = parse("adam and status = failed")
    failed = query.conditions[1]
    assert str(query.without(failed)) == "adam"
    assert query.without(failed).with_(failed) == query


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=20)
NUMBERS = st.one_of(st.integers(-(10**9), 10**9), st.floats(allow_nan=False, allow_infinity=False)).map(str)
ORDER = st.sampled_from(["=", "!=", ">", ">=", "<", "<="])
CONDITIONS = st.one_of(
    TEXTS.filter(str.strip).map(lambda text: Condition("word", "~", text, quoted=True)),
    st.builds(Condition, st.just("param"), st.sampled_from(["=", "!=", "~"]), TEXTS, TEXTS, st.just(True)),
    st.builds(Condition, st.sampled_from(["param", "metric"]), ORDER, NUMBERS, TEXTS),
    st.builds(
        Condition, st.sampled_from(["name", "experiment", "run"]), st.just("~"), TEXTS, st.just(""), st.just(True)
    ),
    st.builds(Condition, st.sampled_from(["param", "metric", "tag"]), st.just(""), st.just(""), TEXTS),
    st.sampled_from(FLAGS).map(lambda flag: Condition("is", ":", flag)),
    st.dates().map(lambda date: Condition("started", ">=", date.isoformat())).filter(lambda c: c.value < "9999-12-31"),
)


@given(st.lists(CONDITIONS, max_size=6, unique=True))
def test_the_text_of_a_query_reads_as_the_query(made: list[Condition]) -> None:
    query = Query(tuple(made))
    assert parse(str(query)) == query


@given(st.text(max_size=60) | st.text('ab.=<>!~" \\and:is', max_size=40))
def test_any_text_is_read_or_refused_with_its_place(text: str) -> None:
    try:
        query, refused = parse(text), None
    except QueryError as error:
        query, refused = Query(), error
    assert parse(str(query)) == query
    assert refused is None or refused.before + refused.word + refused.after == text
