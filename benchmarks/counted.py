"""Count requests and their bytes where they leave this program: in the adapter that all of ``requests`` uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import requests
from requests.adapters import HTTPAdapter

LINE_ENDS = 4


@dataclass
class Counted:
    """The number of requests; ``bytes`` is the size of their request lines, headers and bodies."""

    calls: int = 0
    bytes: int = 0

    def add(self, request: requests.PreparedRequest) -> None:
        self.calls += 1
        head = f"{request.method} {request.path_url} HTTP/1.1"
        lines = sum(len(name) + len(value) + LINE_ENDS for name, value in request.headers.items())
        self.bytes += len(head) + LINE_ENDS + lines + int(request.headers.get("Content-Length") or 0)


@contextmanager
def counting() -> Iterator[Counted]:
    """Count the requests of all sessions within the context."""
    counted, send = Counted(), HTTPAdapter.send

    def counting_send(adapter: HTTPAdapter, request: requests.PreparedRequest, *args: Any, **options: Any) -> Any:
        counted.add(request)
        return send(adapter, request, *args, **options)

    HTTPAdapter.send = counting_send  # type: ignore[assignment, method-assign]
    try:
        yield counted
    finally:
        HTTPAdapter.send = send  # type: ignore[method-assign]
