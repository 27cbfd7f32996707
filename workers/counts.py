"""What the processes of the workers count for Prometheus: docs/reference/prometheus.md. Without METRICS_PORT each of
these calls does nothing, and prometheus_client is not imported.

Labels have few values: a tracking server's is its configured name, never what an event says.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import Literal

from django.utils import timezone

from store import metrics

UNKNOWN = "unknown"
"""A tracking server that is not configured."""
WARM_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21_600)
FETCH_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
Dependency = Literal["database", "redis", "pubsub"]
Outcome = Literal["kept", "duplicate", "reopened", "unreadable"]
"""Of a message."""


class Counts:
    """The metrics. They are in no registry: their values are in files, which the process that serves them reads."""

    def __init__(self) -> None:
        from prometheus_client import Counter, Histogram

        self.warm = Histogram(
            "warmboard_publish_to_warm_seconds", "From an event's publication to its warm run.", ["type"],
            buckets=WARM_SECONDS, registry=None,
        )  # fmt: skip
        self.fetch = Histogram(
            "warmboard_fetch_seconds", "Of one fetch of a run.", ["server", "way", "outcome"],
            buckets=FETCH_SECONDS, registry=None,
        )  # fmt: skip
        self.read = Counter("warmboard_fetch_bytes", "Read, after decompression.", ["server", "way"], registry=None)
        self.attempts = Counter(
            "warmboard_attempts", "To warm or to rebuild a run.", ["server", "work", "outcome"], registry=None
        )
        self.messages = Counter("warmboard_messages", "Received from Pub/Sub.", ["outcome"], registry=None)
        self.failures = Counter(
            "warmboard_dependency_failures", "Work that failed as something was down.", ["dependency"], registry=None
        )


@cache
def made(folder: str) -> Counts:
    """The metrics whose files are in this folder."""
    return Counts()


def _counts() -> Counts | None:
    folder = metrics.folder()
    return made(folder) if folder else None


def warmed(event_type: str, published_at: datetime) -> None:
    """An event's run has become warm."""
    if counts := _counts():
        counts.warm.labels(event_type).observe(max(0.0, (timezone.now() - published_at).total_seconds()))


@contextmanager
def fetching(server: str, way: Literal["database", "bulk", "stock"], size: Callable[[], int]) -> Iterator[None]:
    """Measure a fetch. ``size`` gives the number of bytes that it has read so far."""
    counts = _counts()
    if counts is None:
        yield
        return
    began, before, outcome = time.monotonic(), size(), "failed"
    try:
        yield
        outcome = "fetched"
    finally:
        counts.fetch.labels(server, way, outcome).observe(time.monotonic() - began)
        counts.read.labels(server, way).inc(size() - before)


def attempted(server: str | None, work: str, outcome: str) -> None:
    """An attempt has ended."""
    if counts := _counts():
        counts.attempts.labels(server or UNKNOWN, work, outcome).inc()


def received(outcome: Outcome) -> None:
    """A message is in the inbox."""
    if counts := _counts():
        counts.messages.labels(outcome).inc()


def failed(dependency: Dependency) -> None:
    """Something could not be done because a dependency is down."""
    if counts := _counts():
        counts.failures.labels(dependency).inc()
