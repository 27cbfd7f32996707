"""Which coding a header asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.api.bodies import GZIP, IDENTITY, ZSTD, Coding, codings_of


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", []),
        ("identity", []),
        ("br", []),
        ("gzip", [GZIP]),
        ("GZIP ; Q=0.5", [GZIP]),
        ("gzip, deflate, br, zstd", [ZSTD, GZIP]),
        ("zstd", [ZSTD]),
        ("gzip;q=1, zstd;q=1", [ZSTD, GZIP]),
        ("gzip;q=1.0, zstd;q=0.9", [GZIP, ZSTD]),
        ("gzip;q=0.5, zstd;q=0.9", [ZSTD, GZIP]),
        ("gzip;q=0", []),
        ("gzip;q=0.000, zstd", [ZSTD]),
        ("zstd;q=0, *", [GZIP]),
        ("*", [GZIP]),
        ("*;q=0", []),
        ("gzip;q=0, *", []),
        ("*;q=0.1, zstd;q=0.2", [ZSTD, GZIP]),
        ("gzip;q=nan, zstd;q=inf", []),
        ("gzip;q=2, zstd;q=-1", []),
        ("gzip;level=9", []),
        ("gzip;q=", []),
    ],
)
def test_the_best_coding_comes_first_and_identity_last(header: str, expected: list[Coding]) -> None:
    assert codings_of(header) == (*expected, IDENTITY)


@given(st.text())
def test_any_header_has_an_answer(header: str) -> None:
    assert codings_of(header)[-1] is IDENTITY
