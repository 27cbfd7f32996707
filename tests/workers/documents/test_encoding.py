"""Encoding is strict JSON, deterministic, and the same text in every content encoding."""

import json
from typing import Any

import numpy as np
import zstandard

from warmboard.contract.entries import Encoding
from workers.documents.encoding import encode


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
