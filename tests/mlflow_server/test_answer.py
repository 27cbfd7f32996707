"""A response, piece by piece: order of points, lines as in the golden file, shared axes, cut-off, compression."""

from __future__ import annotations

import gzip
import json
import math
import re
from collections.abc import Iterator

import numpy as np
import pytest
import zstandard
from warmboard_mlflow import lines
from warmboard_mlflow.compression import CHUNK, compressed, negotiated
from warmboard_mlflow.points import Points
from warmboard_mlflow.selection import Selection, prefixes_of, ranges_of, step_of
from werkzeug.datastructures import Accept
from werkzeug.http import parse_accept_header

from tests.mlflow_server.servers import LARGEST, Answer
from tests.paths import EXAMPLES

GOLDEN = EXAMPLES / "run-history.ndjson"
NAN, INFINITY = math.nan, math.inf


def points(key: str, found: list[tuple[int, int, float]]) -> Points:
    steps, timestamps, values = zip(*found, strict=True)
    return Points.of(key, np.array(steps), np.array(timestamps), np.array(values, np.float64))


def epochs(*values: float) -> list[tuple[int, int, float]]:
    start = 1_760_000_001_000
    return [(step, start + 1000 * step, value) for step, value in enumerate(values)]


def test_the_golden_file_is_what_this_writes() -> None:
    head = json.loads(GOLDEN.read_bytes().splitlines()[0])
    repeated = [(2, 1_760_000_003_500, 0.125), (0, 1_760_000_001_000, 0.0625), (-1, 1_760_000_000_500, 0.0)]
    metrics = [
        points("final_loss", [(0, 1_760_000_004_500, 0.25)]),
        points("loss", epochs(1.5, 0.75, 0.5, 0.25)),
        points("query_grad_norm", epochs(0.1, LARGEST, 12.0, -LARGEST)),
        points("recall at 5/Käufer", [*repeated, (2, 1_760_000_003_000, 0.1)]),
        points("val_loss", epochs(1.75, NAN, 0.625, NAN)),
    ]

    assert b"".join(lines.to_lines(head, metrics)) == GOLDEN.read_bytes()
    assert len(Answer.of(GOLDEN.read_bytes()).curves) == 5


@pytest.mark.parametrize(
    "found",
    [
        [(0, 1, 1.0), (1, 1, 2.0)],
        [(5, 1, 1.0), (-3, 2, 2.0), (0, 3, 3.0)],
        [(1, 2, 5.0), (1, 1, 9.0), (1, 2, 4.0), (0, 9, 0.0)],
        [(1, 1, INFINITY), (1, 1, -INFINITY), (1, 1, 0.0)],
    ],
)
def test_points_are_sorted_by_step_then_timestamp_then_value(found: list[tuple[int, int, float]]) -> None:
    ordered = points("loss", found)

    columns = (ordered.steps.tolist(), ordered.timestamps.tolist(), ordered.values.tolist())
    assert list(zip(*columns, strict=True)) == sorted(found)


def test_an_answer_that_is_cut_off_has_no_end() -> None:
    def failing() -> Iterator[Points]:
        yield points("loss", epochs(1.0))
        raise OSError("the database went down")

    written: list[bytes] = []
    with pytest.raises(OSError, match="went down"):
        written.extend(lines.to_lines({}, failing()))

    assert [next(iter(json.loads(line)), None) for line in written] == [None, "axis", "key"]


def test_metrics_with_the_same_axis_share_it() -> None:
    one, other = epochs(1.0, 2.0), [(0, 5, 1.0), (1, 6, 2.0)]
    metrics = [points(key, axis) for key, axis in (("a", one), ("b", other), ("c", one), ("d", other), ("e", one[:1]))]
    answer = Answer.of(b'{"version":1}\n' + b"".join(list(lines.to_lines({}, metrics))[1:]))

    assert answer.axes == 3
    assert answer.points("c") == one
    assert answer.points("d") == other


@pytest.mark.parametrize(
    ("header", "encoding"),
    [
        ("zstd", "zstd"),
        ("gzip, deflate, zstd", "zstd"),
        ("gzip, deflate", "gzip"),
        ("gzip;q=1, zstd;q=0.5", "gzip"),
        ("zstd;q=0, gzip", "gzip"),
        ("zstd;q=0, gzip;q=0", "identity"),
        ("*;q=0", "identity"),
        ("br", "identity"),
        ("", "identity"),
        (None, "identity"),
    ],
)
def test_the_encoding_is_what_the_client_takes(header: str | None, encoding: str) -> None:
    assert negotiated(parse_accept_header(header, Accept)) == encoding


@pytest.mark.parametrize("encoding", ["zstd", "gzip", "identity"])
def test_chunks_are_large_and_add_up(encoding: str) -> None:
    noise = np.random.default_rng(1).bytes(500_000)
    written = [noise[begin : begin + 777] for begin in range(0, len(noise), 777)]
    chunks = list(compressed(written, encoding))
    whole = b"".join(chunks)
    unpacked = {
        "zstd": lambda: zstandard.ZstdDecompressor().decompressobj().decompress(whole),
        "gzip": lambda: gzip.decompress(whole),
        "identity": lambda: whole,
    }[encoding]()

    assert unpacked == noise
    assert len(chunks) > 2
    assert all(len(chunk) >= CHUNK for chunk in chunks[:-1])


def test_a_selection_reads_its_parameters() -> None:
    steps = {None: None, "0": 0, "-7": -7, str(2**63 - 1): 2**63 - 1, str(-(2**63)): -(2**63)}
    assert {text: step_of(text) for text in steps} == steps
    assert prefixes_of([]) == prefixes_of(["a", ""]) == ()
    assert Selection("", prefixes_of(["a", "b", "a"])) == Selection("", ("a", "b"))
    for wrong in ("", "x", " 1", "1.0", "1_0", "+1", "٣", str(2**63)):
        with pytest.raises(ValueError, match=f"^{re.escape(wrong)}$"):
            step_of(wrong)


@pytest.mark.parametrize(
    ("counts", "ranges"),
    [
        ([], []),
        ([("a", 4), ("b", 4), ("c", 2), ("d", 1)], [("a", "c"), ("d", "d")]),
        ([("a", 99), ("b", 1), ("c", 99), ("d", 9), ("e", 1)], [("a", "a"), ("b", "b"), ("c", "c"), ("d", "e")]),
    ],
)
def test_ranges_of_keys_hold_no_more_than_the_limit(
    counts: list[tuple[str, int]], ranges: list[tuple[str, str]]
) -> None:
    assert ranges_of(counts, 10) == ranges
