"""The webapp opens no connection to anything but its database and its Redis, whatever is read.

Every address of the urlconf is read, with the store hot and cold, under a guard on the interpreter's own audit events,
so that a view which is added tomorrow is covered too.
"""

from __future__ import annotations

import socket
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any
from urllib.parse import urlsplit

import redis
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, path
from pytest_django import Settings

import webapp.urls
from store.hot import hot
from store.models import WarmEntry
from tests.webapp.samples import Sample

WAYS_OUT = {"socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "subprocess.Popen", "os.system"}
VALUES: dict[str, list[object]] = {
    "run_id": ["abc123def456", "cold", "unheard"],
    "quick_test_id": [7, 8, 404],
    "chunk": [0, 99],
    "token_id": [1],
    "action": ["pin"],
    "name": ["webapp/run.0123456789ab.js", "webapp/nothing.0123456789ab.js"],
}
QUERIES = [
    "", "?resolution=full", "?limit=1", "?runs=abc123def456,cold,unheard", "?type=weights&tower=query",
    "?type=gradients&tower=candidate&resolution=full",
]  # fmt: skip
_log: list[str] | None = None


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _log is not None and event in WAYS_OUT and not _allowed(event, arguments):
        _log.append(f"{event} {arguments}")
        raise ConnectionRefusedError(f"guarded: {event}")


# An audit hook stays for the life of the interpreter; it does nothing outside `guarded`.
sys.addaudithook(_audit)


def _allowed(event: str, arguments: tuple[Any, ...]) -> bool:
    home = urlsplit(settings.REDIS_URL)
    database = settings.DATABASES["default"]
    homes = {(home.hostname, home.port), (database.get("HOST"), int(database.get("PORT") or 5432))}
    address = arguments[1] if event == "socket.connect" else arguments[:2] if event == "socket.getaddrinfo" else None
    return isinstance(address, tuple) and address[:2] in homes


@contextmanager
def guarded() -> Iterator[list[str]]:
    """Collects, and refuses, every attempt to reach anything but the database and Redis."""
    global _log
    attempts: list[str] = []
    _log = attempts
    try:
        yield attempts
    finally:
        _log = None


def addresses(patterns: list[URLPattern | URLResolver], prefix: str = "/") -> Iterator[str]:
    """Every address of a urlconf, its parameters filled with every known value."""
    for item in patterns:
        converters = item.pattern.converters
        unknown = set(converters) - set(VALUES)
        assert not unknown, f"{item.pattern}: give this test values for {sorted(unknown)}"
        for values in product(*(VALUES[name] for name in converters)):
            text = str(item.pattern)
            for (name, converter), value in zip(converters.items(), values, strict=True):
                kind = next(key for key, known in _converters().items() if type(known) is type(converter))
                text = text.replace(f"<{kind}:{name}>", str(value))
            if isinstance(item, URLResolver):
                yield from addresses(item.url_patterns, prefix + text)
            else:
                yield prefix + text


def _converters() -> dict[str, Any]:
    from django.urls.converters import get_converters

    return get_converters()


def read_everything(client: Client, urlconf: str | types.ModuleType) -> int:
    """Reads every address with every query; returns how many answers there were."""
    found = list(addresses(get_resolver(urlconf).url_patterns))  # type: ignore[arg-type]
    for address, query in product(found, QUERIES):
        response = client.get(address + query)
        response.getvalue()
        assert response.status_code < 500, f"{address}{query}: {response.status_code}"
    return len(found) * len(QUERIES)


def test_nothing_goes_out_whatever_is_read(reader: Client, sample: Sample, empty_redis: redis.Redis) -> None:
    Sample("cold").announce("failed", "MLflow is down", quick_test=8)
    with guarded() as attempts:
        hot = read_everything(reader, webapp.urls)
        empty_redis.flushdb()
        read_everything(reader, webapp.urls)
        WarmEntry.objects.all().delete()
        empty_redis.flushdb()
        read_everything(reader, webapp.urls)
    assert hot >= 100
    assert attempts == []


def test_nothing_goes_out_to_anonymous_readers(anyone: Client, sample: Sample) -> None:
    with guarded() as attempts:
        read_everything(anyone, webapp.urls)
    assert attempts == []


def test_the_guard_sees_a_view_that_calls_out(reader: Client, sample: Sample, settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:

        def leak(request: HttpRequest) -> HttpResponse:
            try:
                socket.create_connection(elsewhere.getsockname(), timeout=1).close()
            except OSError:
                return HttpResponse("hidden")
            return HttpResponse("reached")

        leaky = types.ModuleType("leaky")
        leaky.urlpatterns = [*webapp.urls.urlpatterns, path("leak/", leak)]  # type: ignore[attr-defined]
        settings.ROOT_URLCONF = leaky
        assert reader.get("/leak/").content == b"reached"
        with guarded() as attempts:
            read_everything(reader, leaky)
    assert len(attempts) >= len(QUERIES)


def test_the_guard_lets_redis_through(sample: Sample, empty_redis: redis.Redis) -> None:
    hot.cache_clear()
    with guarded() as attempts:
        assert hot().client.ping()
    assert attempts == []
