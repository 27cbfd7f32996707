"""Encoding is strict JSON, deterministic, and the same text in every content encoding."""

import json
from typing import Any

import numpy as np
import orjson
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from warmboard.contract.entries import Encoding
from workers.documents import encoding
from workers.documents.encoding import encode

PLAIN = st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(), st.text(max_size=5))
ARRAYS = st.one_of(
    st.lists(st.floats(), max_size=20).map(np.array),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20).map(lambda numbers: np.array(numbers, dtype=np.int64)),
    st.integers(0, 9).map(lambda rows: np.arange(3.0 * rows).reshape(rows, 3)),
)
DOCUMENTS = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        PLAIN | ARRAYS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner)
    ),
    max_size=6,
)


LIMITS = st.fixed_dictionaries(
    {
        "ROWS": st.integers(1, 5),
        "NUMBERS": st.integers(0, 20),
        "PIECE": st.integers(1, 50),
        "LARGEST_AT_ONCE": st.integers(1, 4),
    }
)


@given(document=DOCUMENTS, limits=LIMITS)
def test_a_text_in_pieces_is_the_text_at_once(document: Any, limits: dict[str, int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in limits.items():
            patch.setattr(encoding, name, value)
        entry = encode(document)
    whole = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    assert entry.text() == whole
    assert zstandard.ZstdDecompressor().decompressobj().decompress(entry.zstd) == whole
    assert entry.etag == encode(document).etag


def test_equal_documents_have_equal_bytes() -> None:
    document: Any = {"epochs": np.arange(3), "name": "Kähler/∂"}
    other: Any = {**document, "epochs": np.arange(4)}
    assert encode(document) == encode(document)
    assert encode(document).decode() == {"epochs": [0, 1, 2], "name": "Kähler/∂"}
    assert encode(other).etag != encode(document).etag


def test_nan_and_infinity_are_null() -> None:
    document: Any = {"values": np.array([1.5, np.nan, np.inf, -np.inf]), "one": float("nan")}
    assert encode(document).text() == b'{"values":[1.5,null,null,null],"one":null}'


def test_floats_round_trip_exactly() -> None:
    values = np.random.default_rng(1).normal(size=1000) * 10.0 ** np.arange(-500, 500).clip(-300, 300)
    document: Any = {"values": values}
    assert encode(document).decode()["values"] == values.tolist()


def test_every_content_encoding_has_the_same_text() -> None:
    document: Any = {"values": np.arange(1000.0)}
    entry = encode(document)
    assert zstandard.ZstdDecompressor().decompress(entry.body(Encoding.ZSTD).data) == entry.text()
    assert entry.body(Encoding.GZIP).etag == entry.body(Encoding.ZSTD).etag
    assert json.loads(entry.text())["values"][999] == 999.0
