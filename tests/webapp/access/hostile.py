"""Hostile requests: made-up query strings, headers and paths, the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

VALUES = [
    "", " ", "0", "1", "-1", "00", "1e309", "NaN", "Infinity", "null", "true", "9" * 30, "9" * 5000, "0x10", "1_000",
    "²", "٣", "½", "\u202e", "\ufeff", "\U0001f525" * 50, "\0", "a\0b", "\r\nSet-Cookie: a=b", "\x7f", "\x1b[2J",
    "'", '"', "`", "\\", "' OR 1=1 --", '"; DROP TABLE store_run; --', "%", "%%", "_", "%s%n", "{0}", "${7*7}",
    "{{7*7}}", "<script>alert(1)</script>", "<!--", "../../etc/passwd", "//evil.example", "javascript:alert(1)", "file:///",
    "[]", "{}", "[[[[", "(" * 800, ")" * 5, "not " * 400, "a and (b or", 'metric."', "metric.x > ", "param.a = 'b",
    "metric.loss < 1e999", "param. =", "=", "==", "!=", ",", ",,,", "," * 3000, "a,b,c", "-name", "name,-name", "*",
    "overview", "full", "OVERVIEW", "weights", "gradients", "query", "candidate", "with", "loss", "loss,val_loss",
    "abc123def456", "abc123def456,cold,unheard", ",".join(["abc123def456"] * 60), "x" * 9000,
    "0_a", "1767348000000000_abc123def456", "-5_a", "999999999999999999_a", "1_" + "a" * 64, "1_a_b",
    "253402300800000000_a",
    "2026-13-45", "9999-12-31T23:59:59Z", "0001-01-01", "\ud800",
]  # fmt: skip
RAW = [
    "%",
    "%0",
    "%zz",
    "%00",
    "%ff%fe",
    "%c0%af",
    "%ed%a0%80",
    "%u0041",
    "&&&",
    "===",
    ";;",
    "?",
    "#",
    "a[]=1",
    "+",
    "\xff\xfe",
    "é",
]
NAMES = [
    "resolution", "type", "tower", "limit", "before", "metrics", "histograms", "runs", "q", "sort", "columns", "group",
    "page", "after", "state", "tag", "archived", "baseline", "format", "next", "days", "name", "", "\0", "x" * 300,
    "__proto__",
]  # fmt: skip
HEADERS = {
    "HTTP_ACCEPT_ENCODING": ["gzip;q=x", "zstd;q=1e9", "*;q=0, gzip", "," * 2000, "identity;q=0", "gzip" * 900, "\xff"],
    "HTTP_IF_NONE_MATCH": ['"', 'W/"', '"a","b', "*", ",", '"\xff"', '"x"' * 500],
    "HTTP_IF_MODIFIED_SINCE": ["yesterday", "Thu, 99 Foo 9999 99:99:99 GMT"],
    "HTTP_ACCEPT": ["*/*;q=-1", "", "text/html;" * 200],
    "HTTP_RANGE": ["bytes=9-1", "bytes=0-0,-1", "x"],
    "HTTP_COOKIE": ["sessionid=", "sessionid=\xff; csrftoken=", "=;=;", "sessionid=" + "a" * 4000],
    "HTTP_AUTHORIZATION": ["Bearer", "Bearer ", "Bearer wb_", "Bearer \xff", "Basic x", "bearer wb_" + "a" * 5000],
    "HTTP_X_FORWARDED_PROTO": ["gopher"],
    "CONTENT_TYPE": ["multipart/form-data", "application/json; charset=nothing"],
    "CONTENT_LENGTH": ["0", "-1", "x"],
}


@dataclass(frozen=True)
class Hostile:
    """``query`` and ``headers`` as WSGI hands them over: Latin-1 stands for bytes."""

    path: str
    query: str
    headers: dict[str, str] = field(default_factory=dict)


def hostile(addresses: Sequence[str], count: int, seed: int = 1) -> Iterator[Hostile]:
    """So many requests of these addresses."""
    chance = random.Random(seed)
    for _ in range(count):
        path = chance.choice(addresses)
        if chance.random() < 0.1:
            path = _broken(path, chance)
        yield Hostile(path, _query(chance), _headers(chance) if chance.random() < 0.25 else {})


def _query(chance: random.Random) -> str:
    if chance.random() < 0.02:
        return "&".join(f"a{number}=1" for number in range(1500))
    return "&".join(_pair(chance) for _ in range(chance.choice([1, 1, 1, 2, 3, 6])))


def _pair(chance: random.Random) -> str:
    if chance.random() < 0.15:
        return chance.choice(RAW)
    name, value = chance.choice(NAMES), chance.choice(VALUES)
    if chance.random() < 0.3:
        value += chance.choice(VALUES)
    if chance.random() < 0.1:
        return f"{_quoted(name)}={chance.choice(RAW)}"
    return f"{_quoted(name)}={_quoted(value)}"


def _quoted(text: str) -> str:
    return quote(text.encode("utf-8", "surrogatepass"))


def _headers(chance: random.Random) -> dict[str, str]:
    names = chance.sample(sorted(HEADERS), chance.choice([1, 1, 2, 4]))
    return {name: chance.choice(HEADERS[name]) for name in names}


def _broken(path: str, chance: random.Random) -> str:
    """The path with a part replaced, left out, doubled or grown."""
    parts = path.split("/")
    place = chance.randrange(len(parts))
    parts[place] = chance.choice(["", "..", "\x00", "\xff", "%2e%2e", "a" * 300, "9" * 19, parts[place] * 2, "é", ";"])
    return "/" + "/".join(parts).lstrip("/")
