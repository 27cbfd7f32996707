"""The rules of every CSV file, here and in the browser: ``webapp/static/webapp/page/files.js`` writes the same text.

UTF-8 with a byte order mark, by which Excel knows the charset; RFC 4180 with CRLF; numbers with the shortest digits
that read back as the same number, as JavaScript writes them; no cell that a spreadsheet takes for a formula.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator
from decimal import Decimal

Cell = str | float | None
MEDIA = "text/csv; charset=utf-8"
BYTE_ORDER_MARK = "\ufeff"
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|-Infinity")
PLAIN_POWERS = range(-6, 21)
"""The powers of ten of numbers that have no exponent."""


def pieces(blocks: Iterable[Iterable[Iterable[Cell]]]) -> Iterator[bytes]:
    """A CSV file, one piece for each block of rows. Without blocks it has the byte order mark alone."""
    buffer = io.StringIO(newline="")
    buffer.write(BYTE_ORDER_MARK)
    writer = csv.writer(buffer)
    for block in blocks:
        writer.writerows(map(text_of, row) for row in block)
        yield buffer.getvalue().encode()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue().encode()


def text_of(cell: Cell) -> str:
    """The cell as text, before quoting; empty for None."""
    if isinstance(cell, str):
        return _safe(cell)
    return "" if cell is None else digits(cell)


def digits(value: float) -> str:
    """The shortest digits that read back as the same number: ``5``, ``0.1``, ``1e-7``; a word if it is not finite."""
    if isinstance(value, int):
        return str(value)
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    text = repr(value).removesuffix(".0")
    return _without_exponent(text) if "e" in text else text


def _without_exponent(text: str) -> str:
    mantissa, _, power = text.partition("e")
    return format(Decimal(text), "f") if int(power) in PLAIN_POWERS else f"{mantissa}e{int(power):+d}"


def _safe(text: str) -> str:
    """The text, with an apostrophe in front if a spreadsheet would take it for a formula. A number may have a sign."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) and not NUMBER.fullmatch(text) else text
