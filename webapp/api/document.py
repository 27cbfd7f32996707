"""The OpenAPI document, built from the URL patterns under /api/ and the declarations of their views."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.conf import settings
from django.urls import URLPattern, URLResolver, get_resolver

from warmboard.contract.events import RUN_ID
from webapp.api.operation import JSON, Operation, operations_of
from webapp.api.parameters import Parameter
from webapp.api.schemas import Schema, Schemas
from webapp.api.shapes import Error

VERSION = "1"
"""Increased when a response loses a field or a field changes its meaning, not when something is added."""
ABOUT = (
    "Charts, lists and exports of training runs. Every response comes from the store: no request waits for MLflow. "
    "A run that is not warm gets 200 with `available: false`. Every GET operation also accepts HEAD."
)
PATH_PARTS: Mapping[str, tuple[str, Schema]] = {
    "run_id": ("MLflow run ID.", {"type": "string", "pattern": f"^{RUN_ID.pattern}$"}),
    "quick_test_id": ("Quick test number.", {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}),
    "chunk": ("Chunk number, from the metric index.", {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}),
}
ERRORS = {
    400: "Invalid request or parameter. The response names the parameter and its allowed values.",
    401: "Unauthenticated: no session, and no token or one that is unknown, expired or revoked.",
    404: "This address does not exist.",
    429: "Rate limit exceeded. `Retry-After` is the time until the next request is allowed.",
}
LIMIT_HEADERS = {
    "RateLimit-Limit": "Max requests per minute.",
    "RateLimit-Remaining": "Requests left in this minute.",
    "RateLimit-Reset": "Seconds until the count starts again.",
}


@dataclass(frozen=True)
class Route:
    """An address under /api/; ``path`` has its parameters in braces."""

    path: str
    view: Callable[..., Any]


def routes() -> Iterator[Route]:
    """All routes with an operation, in the order of the URL patterns. Raises LookupError for a view that has none,
    pages aside.
    """
    for path, view in _addresses(get_resolver(settings.ROOT_URLCONF).url_patterns):
        if path.startswith("/api/") and not getattr(view, "is_page", False):
            if not operations_of(view):
                raise LookupError(f"{path}: its view needs @describes")
            yield Route(path, view)


@cache
def document() -> dict[str, Any]:
    """The document, in OpenAPI 3.1. It is cached: do not modify it."""
    schemas = Schemas()
    paths = {route.path: _methods(route, schemas) for route in routes()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Warmboard", "version": VERSION, "description": ABOUT},
        "security": [{"token": []}, {"session": []}],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "A token from /tokens/. It is read-only."},
                "session": {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME},
            },
        },
    }


def _addresses(patterns: list[URLPattern | URLResolver], prefix: str = "/") -> Iterator[tuple[str, Any]]:
    for item in patterns:
        path = prefix + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(item.pattern))
        if isinstance(item, URLResolver):
            yield from _addresses(item.url_patterns, path)
        else:
            yield path, item.callback


def _methods(route: Route, schemas: Schemas) -> dict[str, Any]:
    parts = [_path_part(name) for name in re.findall(r"{(\w+)}", route.path)]
    found = {method: _operation(one, method, route, schemas) for method, one in operations_of(route.view).items()}
    return {"parameters": parts, **found} if parts else found


def _operation(operation: Operation, method: str, route: Route, schemas: Schemas) -> dict[str, Any]:
    general = ERRORS if "{" in route.path else {status: why for status, why in ERRORS.items() if status != 404}
    errors = {**general, **operation.errors}
    described: dict[str, Any] = {
        "operationId": _name(method, route.path),
        "tags": [operation.group],
        "summary": operation.summary,
        "parameters": [_query_part(parameter) for parameter in operation.parameters],
        "responses": {
            "200": {"description": "Success.", "headers": _limit_headers(), "content": _content(operation, schemas)},
            **{str(status): _error(why, status, schemas) for status, why in sorted(errors.items())},
        },
    }
    if method != "get":
        # Tokens are read-only; changes need a page's session and CSRF token.
        described["security"] = [{"session": []}]
    if operation.body:
        described["requestBody"] = {"required": True, "content": {JSON: {"schema": schemas.of(operation.body)}}}
    return described


def _content(operation: Operation, schemas: Schemas) -> dict[str, Any]:
    content: dict[str, Any] = {JSON: {"schema": schemas.of(operation.answer)}}
    if operation.media != JSON:
        # Other media types, which JSON Schema can't describe.
        content[operation.media] = {}
    return content


def _error(why: str, status: int, schemas: Schemas) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": why, "content": {JSON: {"schema": schemas.of(Error)}}}
    if status == 401:
        answer["headers"] = {"WWW-Authenticate": _header("`Bearer`, and the error of the token.", "string")}
    if status == 429:
        retry = _header("Seconds until the count starts again.", "integer")
        answer["headers"] = {"Retry-After": retry, **_limit_headers()}
    return answer


def _limit_headers() -> dict[str, Any]:
    return {name: _header(why, "integer") for name, why in LIMIT_HEADERS.items()}


def _header(description: str, type_: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": type_}}


def _path_part(name: str) -> dict[str, Any]:
    """Raises LookupError for a parameter that PATH_PARTS lacks."""
    if name not in PATH_PARTS:
        raise LookupError(f"PATH_PARTS of {__name__} has no {name}")
    description, schema = PATH_PARTS[name]
    return {"name": name, "in": "path", "required": True, "description": description, "schema": schema}


def _query_part(parameter: Parameter[Any]) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": "query",
        "required": parameter.required,
        "description": parameter.help,
        "schema": dict(parameter.schema),
    }


def _name(method: str, path: str) -> str:
    """The operation's name in generated clients, such as ``get_runs_by_run_id_metrics``."""
    return re.sub(r"\W+", "_", f"{method}_{path.removeprefix('/api/').replace('{', 'by_')}").strip("_")
