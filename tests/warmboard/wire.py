"""A fake transport for requests, which answers from a script and records the requests."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
from requests.adapters import BaseAdapter


@dataclass(frozen=True)
class Asked:
    """One request as the client sent it."""

    method: str
    route: str
    query: Mapping[str, list[str]]
    body: Any
    raw: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    status: int = 200
    body: Any = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Asked], "Answer | Exception"]


class Wire(BaseAdapter):
    """Passes every request to ``handler``, and returns its answer or raises its exception."""

    def __init__(self, handler: Handler) -> None:
        super().__init__()
        self.handler = handler
        self.asked: list[Asked] = []
        self.timeouts: list[Any] = []

    def session(self) -> requests.Session:
        session = requests.Session()
        session.mount("http://", self)
        session.mount("https://", self)
        return session

    def routes(self) -> list[str]:
        return [asked.route for asked in self.asked]

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        parts = urlsplit(request.url or "")
        raw = request.body.encode() if isinstance(request.body, str) else request.body or b""
        asked = Asked(
            method=request.method or "",
            route=parts.path.removeprefix("/api/2.0/mlflow/"),
            query=parse_qs(parts.query),
            body=json.loads(raw) if raw else None,
            raw=raw,
            headers=dict(request.headers),
        )
        self.asked.append(asked)
        self.timeouts.append(kwargs.get("timeout"))
        answer = self.handler(asked)
        if isinstance(answer, Exception):
            raise answer
        response = requests.Response()
        response.request = request
        response.url = request.url or ""
        response.status_code = answer.status
        response.headers.update(answer.headers)
        response.raw = io.BytesIO(
            answer.body.encode() if isinstance(answer.body, str) else json.dumps(answer.body).encode()
        )
        return response

    def close(self) -> None:
        pass


def script(*answers: Answer | Exception) -> Handler:
    """Return a handler that gives these answers one after the other."""
    remaining = list(answers)
    return lambda asked: remaining.pop(0)


def error(status: int, code: str, message: str = "no") -> Answer:
    """Return an error in MLflow's format."""
    return Answer(status, {"error_code": code, "message": message})
