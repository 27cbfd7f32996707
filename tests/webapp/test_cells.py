"""CSV cells: numbers keep all digits, texts are no formulas, and Python's reader gets back what was written."""

from __future__ import annotations

import csv
import io
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.exports.cells import BYTE_ORDER_MARK, FORMULA_STARTS, digits, pieces, text_of

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5.0, "5"), (0.1, "0.1"), (-0.0, "-0"), (123456789.0, "123456789"), (1e-5, "0.00001"), (1e-6, "0.000001"),
        (1e-7, "1e-7"), (1.5e-9, "1.5e-9"), (1e16, "10000000000000000"), (1.5e20, "150000000000000000000"),
        (1e21, "1e+21"), (-1.7976931348623157e308, "-1.7976931348623157e+308"), (5e-324, "5e-324"),
        (math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity"), (7, "7"),
    ],
)  # fmt: skip
def test_a_number_is_written_as_javascript_does(value: float, text: str) -> None:
    assert digits(value) == text


@given(value=st.floats())
def test_a_number_reads_back_as_the_same(value: float) -> None:
    assert math.isnan(value) or float(digits(value)).hex() == value.hex()


@pytest.mark.parametrize("text", ["-1e-3", "+5", "-.5", "+7.", "-Infinity", "loss", "", " =1", "1-2", "\n=1"])
def test_what_is_no_formula_stays(text: str) -> None:
    assert text_of(text) == text


@pytest.mark.parametrize(
    "text", ["=1+1", "+1+1", "-loss", "-inf", "-1_000", "@x", "\tx", "\r=x", "-", "+", "-1\n", "-1e", "-\u0661"]
)
def test_a_formula_is_made_a_text(text: str) -> None:
    assert text_of(text) == f"'{text}"


@given(rows=st.lists(st.lists(TEXTS | st.sampled_from([*FORMULA_STARTS, '"', "=1,2", "a\r\nb", ""]), min_size=1)))
def test_a_reader_gets_back_every_cell(rows: list[list[str]]) -> None:
    content = b"".join(pieces([rows[:1], rows[1:]])).decode()
    assert content.startswith(BYTE_ORDER_MARK)
    found = list(csv.reader(io.StringIO(content.removeprefix(BYTE_ORDER_MARK), newline="")))
    assert found == [[text_of(cell) for cell in row] for row in rows]
    assert not any(cell.startswith(("=", "@", "\t", "\r")) for row in found for cell in row)
