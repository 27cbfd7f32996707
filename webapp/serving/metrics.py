"""What is counted of requests. Cheap enough for every read: some microseconds."""

from __future__ import annotations

from functools import cache

from prometheus_client import Counter, Gauge, Histogram

from store.metrics import folder

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
UNKNOWN = "unknown"
"""The route of addresses that there are none of: made-up ones must not become labels."""


class RequestMetrics:
    """They are in no registry: their values are in files, which the process that serves them reads."""

    def __init__(self) -> None:
        self._seconds = Histogram(
            "warmboard_request_seconds", "From a whole request to its answer.", ["route", "method", "status"],
            buckets=BUCKETS, registry=None,
        )  # fmt: skip
        self._refused = Counter("warmboard_requests_refused", "Refused before Django.", ["status"], registry=None)
        self._lanes = Gauge(
            "warmboard_requests_unfinished", "Requests that run or wait for a thread.", ["lane"],
            multiprocess_mode="livesum", registry=None,
        )  # fmt: skip
        self._child = cache(self._seconds.labels)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        self._child(route or UNKNOWN, method if method in ("GET", "HEAD", "POST") else "other", str(status)).observe(
            seconds
        )

    def refused(self, status: int) -> None:
        self._refused.labels(str(status)).inc()

    def lane(self, name: str, unfinished: int) -> None:
        self._lanes.labels(name).set(unfinished)


def request_metrics() -> RequestMetrics | None:
    """None where no metrics are served."""
    files = folder()
    return _made(files) if files else None


@cache
def _made(_: str) -> RequestMetrics:
    return RequestMetrics()
