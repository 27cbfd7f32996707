"""The versions of Python and of the packages whose other versions are known to fail."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from workers.doctor.finding import Findings, Given, failure, ok

SUBJECT = "versions"
Version = tuple[int, ...]


@dataclass(frozen=True)
class Bound:
    """A package whose version must be at least ``low`` and below ``high``; ``reason`` is what happens otherwise."""

    package: str
    low: Version
    high: Version
    reason: str


PYTHON = (3, 11), (3, 14)
BOUNDS = (
    Bound("celery", (5, 5), (5, 7), "5.7 workers die when Redis restarts while a task is unacknowledged"),
    Bound("kombu", (5, 6), (5, 7), "older ones bring a killed worker's tasks back up to 100 s late"),
    Bound("redis", (5,), (7,), "8 gives up on a quiet queue after 5 s, and Celery then reconnects for ever"),
    Bound("django", (5, 2), (6,), "the store's migrations are for 5.2"),
    Bound("psycopg", (3, 2), (4,), "the store sends bodies with server-side binding"),
    Bound("google-cloud-pubsub", (2, 20), (3,), "the subscriber uses its lease extension"),
)


def look(_: Given) -> Findings:
    found = [*_python(), *(finding for bound in BOUNDS for finding in _package(bound))]
    yield from found
    if not found:
        named = ", ".join(f"{bound.package} {version(bound.package)}" for bound in BOUNDS)
        yield ok(SUBJECT, f"Python {sys.version.split()[0]}, {named}")


def _python() -> Findings:
    low, high = PYTHON
    if not low <= sys.version_info[:2] < high:
        text = f"Python {sys.version.split()[0]} is not supported"
        yield failure(SUBJECT, text, f"Use Python {_text(low)} to {high[0]}.{high[1] - 1}.")


def _package(bound: Bound) -> Findings:
    fix = f"Install the pinned versions: `pip install --requirement requirements/workers.txt` ({bound.reason})."
    try:
        found = version(bound.package)
    except PackageNotFoundError:
        yield failure(SUBJECT, f"{bound.package} is not installed", fix)
        return
    if not bound.low <= parsed(found) < bound.high:
        wanted = f"{_text(bound.low)} or newer and older than {_text(bound.high)}"
        yield failure(SUBJECT, f"{bound.package} {found} is installed, but must be {wanted}", fix)


def parsed(text: str) -> Version:
    """The numbers of a version: 5.7.0rc1 is (5, 7, 0)."""
    numbers = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in numbers[0].split(".")) if numbers else ()


def _text(of: Version) -> str:
    return ".".join(map(str, of))
