"""Where the cursor is in a query, and which characters a suggestion replaces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.listing.complete.position import Position, locate


def at(marked: str) -> tuple[str, Position]:
    """The query and the position of its cursor, which is written as ``|``."""
    before, _, after = marked.partition("|")
    return before + after, locate(before + after, len(before))


@pytest.mark.parametrize(
    ("marked", "part", "typed", "replaced"),
    [
        ("|", "condition", "", ""),
        ("  |", "condition", "", ""),
        ("tow|", "condition", "tow", "tow"),
        ("to|wer adam", "condition", "to", "tower"),
        ("tower |", "condition", "", ""),
        ("is:p|", "condition", "is:p", "is:p"),
        ("epochs > 3 and me|", "condition", "me", "me"),
        ("(me|", "condition", "(me", "(me"),
        ("it's me|", "condition", "me", "me"),
        ("'tis me|", "condition", "me", "me"),
        ("metric.|", "name", "", "metric."),
        ("metrics.lo|ss < 3", "name", "lo", "metrics.loss"),
        ('metric."val lo|', "name", "val lo", 'metric."val lo'),
        ('metric."val| loss" < 3', "name", "val", 'metric."val loss"'),
        ('metric."val| loss and param.x = "y"', "name", "val", 'metric."val'),
        ("params.`a b|` = 3", "name", "a b", "params.`a b`"),
        ("metric.`a b`.m|in < 3", "name", "m", "metric.`a b`.min"),
        ("param.x param.o|", "name", "o", "param.o"),
        ("attributes.sta|", "name", "sta", "attributes.sta"),
        ("status |", "operator", "", ""),
        ("param.lr |", "operator", "", ""),
        ("param.lr li|", "operator", "li", "li"),
        ("metric.loss >|", "operator", ">", ">"),
        ("attributes.run_name |", "operator", "", ""),
        ("status =|", "value", "", ""),
        ("status = fi|", "value", "fi", "fi"),
        ("status = fi|nished and x", "value", "fi", "finished"),
        ("status != 'FI|", "value", "FI", "'FI"),
        ('experiment = "two to|" and x', "value", "two to", '"two to"'),
        ('experiment = "two| tower"', "value", "two", '"two tower"'),
        ('experiment = "two| param.x = "y"', "value", "two", '"two'),
        ('name = "a \\"b|', "value", 'a "b', '"a \\"b'),
        ("name = it's|", "value", "it's", "it's"),
        ("param.o like |", "value", "", ""),
        ("param.o like 'ad|", "value", "ad", "'ad"),
        ("params.o IN (|", "value", "", ""),
        ("status not in (failed, ki|lled)", "value", "ki", "killed"),
        ("tag.o in ('a', \"b|", "value", "b", '"b'),
        ('"two to|', "nothing", "", None),
        ('"two tower"|', "nothing", "", None),
        ("status in (failed |", "nothing", "", None),
        ("status in (failed)|", "nothing", "", None),
        ("param.x is null|", "nothing", "", None),
        ("= |", "value", "", ""),
    ],
)
def test_a_position(marked: str, part: str, typed: str, replaced: str | None) -> None:
    text, position = at(marked)
    if replaced is not None:
        assert (position.part, position.typed, text[position.start : position.end]) == (part, typed, replaced)
    assert position.part == part


@pytest.mark.parametrize(
    ("marked", "field", "key", "operator"),
    [
        ("attributes.`run name` = x|", "name", "", "="),
        ("param.\"a b\" != |", "param", "a b", "!="),
        ("TAGS.owner ilike '|", "tag", "owner", "ilike"),
        ("status NOT  IN (|", "status", "", "not in"),
        ("two status in (failed) and metric.loss.min > |", "metric", "loss", ">"),
        ("run.start_time <= |", "started", "", "<="),
        ("quick_test |", "quick_test", "", ""),
        ("unknown = |", "", "", "="),
    ],
)  # fmt: skip
def test_what_a_value_or_an_operator_belongs_to(marked: str, field: str, key: str, operator: str) -> None:
    position = at(marked)[1]
    assert (position.field, position.key, position.operator) == (field, key, operator)


@pytest.mark.parametrize(("marked", "joined"), [("|", False), ("a |", True), ("a and |", False), ("a = 1 |", True)])
def test_and_joins_conditions(marked: str, joined: bool) -> None:
    assert at(marked)[1].joined is joined


PIECES = st.sampled_from(
    ["and", "param.lr", "metric.", 'metric."a b', "`", "'", '"', "\\", "status", "in (", ",", ")", "=", "!", ">",
     "like", "is null", "is:", " ", "attributes.", ".min", "\N{FIRE}", "x"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=40), st.data())
def test_any_text_has_a_position_at_each_cursor(text: str, data: st.DataObject) -> None:
    cursor = data.draw(st.integers(0, len(text)))
    position = locate(text, cursor)
    assert 0 <= position.start <= cursor <= position.end <= len(text)
