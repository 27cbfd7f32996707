"""Flower's own host names."""

from __future__ import annotations

from typing import Any

import pytest
from tornado.httputil import HTTPServerRequest
from tornado.web import Application, RequestHandler

from workers.flower import OwnHosts, Refused


def handler_of(host: str, path: str = "/") -> Any:
    application = OwnHosts.__new__(OwnHosts)
    Application.__init__(application, [(r"/.*", RequestHandler)])
    application._names = frozenset({"localhost", "flower.example.org"})
    request: Any = HTTPServerRequest(method="GET", uri=path, host=host)
    return application.find_handler(request).handler_class


@pytest.mark.parametrize("host", ["localhost:5555", "LOCALHOST", "flower.example.org"])
def test_its_own_names_are_answered(host: str) -> None:
    assert handler_of(host) is not Refused


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:5555", "", "127.0.0.1.nip.io"])
def test_any_other_name_is_refused(host: str) -> None:
    assert handler_of(host) is Refused
    assert handler_of(host, "/api/workers") is Refused


def test_the_health_check_is_answered_at_any_address() -> None:
    assert handler_of("10.0.0.1:5555", "/healthcheck") is not Refused
