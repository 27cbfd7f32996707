"""A client of one tracking server's REST API: pooled connections, credentials, compression and errors.

https://mlflow.org/docs/latest/rest-api.html
"""

from __future__ import annotations

import copy
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from json import JSONDecodeError
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import orjson
import urllib3
import zstandard

from workers.errors import NotMlflowError, PermanentError, ThrottledError, TransientError
from workers.fetch.body import ACCEPTED, Body
from workers.fetch.budget import Budget, Limits
from workers.fetch.connections import connections_to, until
from workers.fetch.pauses import Pauses
from workers.fetch.rest import rest_of
from workers.fetch.server import TrackingServer
from workers.history.bounded import TooLargeError

API = "api/2.0/mlflow/"
CONNECT_SECONDS, SILENT_SECONDS = 5.0, 20.0
"""A server may take so long to accept a connection, and to send the next byte."""
LONGEST_REASON, LONGEST_REFUSAL = 500, 2**16
LOOPBACK = ("127.0.0.1", "localhost", "::1")
HOW_TO_SIGN_IN = (
    "Set its credentials by MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, MLFLOW_TRACKING_TOKEN or"
    " MLFLOW_TRACKING_GOOGLE_IDENTITY; for other servers, in MLFLOW_TRACKING_SERVERS"
)


class MlflowStatusError(PermanentError):
    """MLflow answered with a status other than 200.

    ``code`` is MLflow's ``error_code``; empty if the answer is not MLflow's, for example a proxy's.
    """

    def __init__(self, text: str, status: int, code: str) -> None:
        super().__init__(text)
        self.status = status
        self.code = code

    @property
    def is_no_route(self) -> bool:
        """Whether the server lacks the route itself, as opposed to the run."""
        return self.status == 501 or (self.status in (404, 405) and not self.code)

    @property
    def is_gone(self) -> bool:
        return self.code == "RESOURCE_DOES_NOT_EXIST"

    @property
    def is_answer(self) -> bool:
        # A proxy's 404 or redirect says nothing about the run. MLflow refuses credentials without a code.
        return bool(self.code) or self.status in (401, 403)


class MlflowApi:
    """Calls one tracking server. Tests pass a ``transport`` in place of the network.

    Every method raises TransientError if a retry may help, otherwise PermanentError. Redirects are refused, because
    the credentials are for one address only. Each request has a budget of ``limits``; ``of_one_fetch`` gives several
    requests one together.
    """

    def __init__(
        self,
        server: TrackingServer,
        *,
        connections: int,
        limits: Limits | None = None,
        transport: urllib3.PoolManager | None = None,
    ) -> None:
        self._server = server
        self._limits = limits or Limits()
        self._budget: Budget | None = None
        self._pauses: Pauses | None = None
        self._transport = transport or connections_to(server.uri, connections, server.certificate)
        # On one machine, compression costs more than it saves.
        self._accepted = "identity" if urlsplit(server.uri).hostname in LOOPBACK else ACCEPTED

    def of_one_fetch(self) -> Self:
        """The same API for the requests of one fetch, which share a budget, and pause where the server asks for it."""
        api = copy.copy(self)
        api._budget, api._pauses = Budget(self._limits, self._server.uri), Pauses()
        return api

    @property
    def budget(self) -> Budget:
        """What is left to the requests of one fetch."""
        return self._budget or Budget(self._limits, self._server.uri)

    @property
    def received(self) -> int:
        """How many bytes the requests of one fetch have read so far, after decompression."""
        return self._budget.received if self._budget else 0

    def get(self, path: str, member: str, **query: Any) -> Any:
        """Get one member of the JSON document at a path. Query parameters that are None are left out."""
        with self.open(path, **query) as body:
            document = body.document()
        if not isinstance(document, dict) or member not in document:
            raise self._no_mlflow(path)
        return document[member]

    def post(self, path: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Post a JSON document and return the JSON response."""
        with self._answer("POST", path, data=orjson.dumps(asked)) as body:
            document = body.document()
        if not isinstance(document, dict):
            raise self._no_mlflow(path)
        return document

    @contextmanager
    def open(self, path: str, **query: Any) -> Iterator[Body]:
        """Get a path and yield its body, to read in pieces.

        Raises NotMlflowError if the block can't parse the body as JSON, or finds it too large to parse.
        """
        given = {name: value for name, value in query.items() if value is not None}
        with self._answer("GET", path, query=f"?{urlencode(given)}" if given else "") as body:
            yield body

    @contextmanager
    def _answer(self, method: str, path: str, *, query: str = "", data: bytes | None = None) -> Iterator[Body]:
        budget = self.budget
        try:
            answer = self._patiently_sent(method, path, query, data, budget)
            try:
                if answer.status != 200:
                    raise self._refusal(path, answer, budget)
                yield Body(answer, budget)
            finally:
                # A connection whose body was read to its end is already back in the pool. Any other can't be reused.
                answer.close()
        except (urllib3.exceptions.HTTPError, OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
            if budget.is_over:
                raise budget.late() from error
            raise TransientError(f"MLflow at {self._server.uri} does not answer: {error}") from error
        except TooLargeError as error:
            raise self._no_mlflow(path, f": {error}") from error
        except JSONDecodeError as error:
            raise self._no_mlflow(path) from error

    def _patiently_sent(
        self, method: str, path: str, query: str, data: bytes | None, budget: Budget
    ) -> urllib3.BaseHTTPResponse:
        """Send a request, again after a pause if the server asks for fewer of a fetch."""
        url = f"{self._server.uri}/{path}{query}"
        if self._pauses is None:
            return self._sent(method, url, data, budget)
        for tries in count(1):
            self._pauses.wait(budget)
            answer = self._sent(method, url, data, budget)
            if answer.status != 429:
                self._pauses.answered()
                break
            try:
                self._pauses.pause(tries, self._throttled(path, answer, budget))
            finally:
                answer.close()
        return answer

    def _sent(self, method: str, url: str, data: bytes | None, budget: Budget) -> urllib3.BaseHTTPResponse:
        """Send a request and read the response's headers."""
        left = budget.seconds()
        with until(budget.until):
            return self._transport.urlopen(
                method,
                url,
                body=data,
                headers=self._headers(data),
                timeout=urllib3.Timeout(connect=min(CONNECT_SECONDS, left), read=min(SILENT_SECONDS, left)),
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
            )

    def _no_mlflow(self, path: str, why: str = "") -> NotMlflowError:
        text = f"{self._server.uri} answered {path.removeprefix(API)} unlike MLflow{why}: is it an MLflow server?"
        return NotMlflowError(text)

    def _headers(self, data: bytes | None) -> dict[str, str]:
        headers = {"Accept-Encoding": self._accepted}
        if data is not None:
            headers["Content-Type"] = "application/json"
        if authorization := self._server.authorization():
            headers["Authorization"] = authorization
        return headers

    def _throttled(self, path: str, answer: urllib3.BaseHTTPResponse, budget: Budget) -> ThrottledError:
        return ThrottledError(_said(path, answer, budget)[1], rest_of(answer.status, answer.headers))

    def _refusal(
        self, path: str, answer: urllib3.BaseHTTPResponse, budget: Budget
    ) -> TransientError | MlflowStatusError:
        if answer.status == 429:
            return self._throttled(path, answer, budget)
        code, text = _said(path, answer, budget)
        if answer.status == 408 or (answer.status >= 500 and answer.status != 501):
            return TransientError(text)
        if answer.status < 400:
            return NotMlflowError(
                f"{text}. Redirects are not followed: is {self._server.uri} the server's own address?"
            )
        if answer.status == 401:
            text = f"{text.rstrip('.')}. {HOW_TO_SIGN_IN}"
        return MlflowStatusError(text, answer.status, code)


def _said(path: str, answer: urllib3.BaseHTTPResponse, budget: Budget) -> tuple[str, str]:
    """MLflow's error code, and a sentence."""
    code, reason = _reason(Body(answer, budget).read(LONGEST_REFUSAL))
    return code, f"MLflow answered {answer.status} to {path.removeprefix(API)}: {reason}"


def _reason(text: bytes) -> tuple[str, str]:
    """MLflow's error code and message. For any other body, an empty code and the first 200 characters."""
    try:
        document = orjson.loads(text)
        return str(document.get("error_code", "")), str(document.get("message", ""))[:LONGEST_REASON]
    except (JSONDecodeError, AttributeError):
        return "", text.decode(errors="replace")[:200]
