"""A request of granian as a WSGI environ."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Protocol

from store.logs import trace_in

NAMES_REMEMBERED = 1024
TRACE = re.compile("[0-9a-fA-F]{32}")
NEVER = {"proxy", "transfer-encoding", "connection", "keep-alive"}
"""Headers of the connection, and one that CGI programs would take for a setting."""
CONSTANT = {
    "SCRIPT_NAME": "",
    "SERVER_SOFTWARE": "granian",
    "wsgi.version": (1, 0),
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
}
Headers = list[tuple[str, str]]


class Scope(Protocol):
    """What we read of granian's scope (RSGI 1.6)."""

    method: str
    path: str
    """Without its percent escapes; bytes that are no UTF-8 are U+FFFD."""
    query_string: str
    http_version: str
    scheme: str
    client: str
    server: str
    headers: Any
    authority: str | None


def environ_of(scope: Scope, headers: Headers) -> dict[str, Any]:
    """The environ of a request without its body.

    A header whose name has an underscore is dropped. WSGI gives it the same name as one with a dash, so a client could
    send a second X-Forwarded-For, as X_Forwarded_For, past a proxy that knows only the first.
    """
    environ: dict[str, Any] = CONSTANT | {
        "REQUEST_METHOD": scope.method,
        "PATH_INFO": _latin(scope.path),
        "QUERY_STRING": _latin(scope.query_string),
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": _address(scope.client),
        "wsgi.url_scheme": scope.scheme,
    }
    environ["SERVER_NAME"], environ["SERVER_PORT"] = _server(scope.server)
    for name, value in headers:
        key = _key(name)
        if key in environ and key:
            environ[key] += ("; " if key == "HTTP_COOKIE" else ",") + value
        elif key:
            environ[key] = value
    if "HTTP_HOST" not in environ and scope.authority:
        environ["HTTP_HOST"] = scope.authority
    return environ


def with_body(environ: dict[str, Any], body: bytes) -> None:
    """Add the body, which replaces what the headers said of its length."""
    environ["wsgi.input"] = io.BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))


def trace_of(environ: Mapping[str, Any]) -> str:
    """The trace that the request belongs to: 32 hexadecimal digits, from the header of W3C or Google's; or empty."""
    if header := environ.get("HTTP_TRACEPARENT", ""):
        return trace_in(header)
    found = environ.get("HTTP_X_CLOUD_TRACE_CONTEXT", "")[:32]
    return found.lower() if TRACE.fullmatch(found) else ""


@lru_cache(NAMES_REMEMBERED)
def _key(name: str) -> str:
    """The header's key; empty if Django must not see it."""
    if "_" in name or name in NEVER:
        return ""
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"


def _latin(text: str) -> str:
    """WSGI's form: each character stands for a byte."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("latin-1")


def _address(peer: str) -> str:
    """The address without its port and the brackets of IPv6."""
    return peer.rpartition(":")[0].strip("[]")


@lru_cache(16)
def _server(own: str) -> tuple[str, str]:
    name, _, port = own.rpartition(":")
    return name.strip("[]"), port
