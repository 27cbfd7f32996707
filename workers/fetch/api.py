"""The wire to one tracking server: pooled connections, credentials, compression, and what each refusal means.

https://mlflow.org/docs/latest/rest-api.html
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from json import JSONDecodeError
from typing import IO, Any, Protocol, cast
from urllib.parse import urlencode, urlsplit

import orjson
import urllib3
import zstandard

from workers.errors import PermanentError, TransientError
from workers.fetch.connections import connections_to
from workers.fetch.server import TrackingServer

API = "api/2.0/mlflow/"
TIMEOUT = urllib3.Timeout(connect=5, read=60)
LONGEST_REASON, LONGEST_REFUSAL = 500, 2**16
LOOPBACK = ("127.0.0.1", "localhost", "::1")
HOW_TO_SIGN_IN = (
    "Its credentials are set by MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, MLFLOW_TRACKING_TOKEN, or"
    " MLFLOW_TRACKING_GOOGLE_IDENTITY; those of other servers within MLFLOW_TRACKING_SERVERS"
)


class MlflowStatusError(PermanentError):
    """The server answered, and not with 200. ``code`` is MLflow's word for it; empty if somebody else answered."""

    def __init__(self, text: str, status: int, code: str) -> None:
        super().__init__(text)
        self.status = status
        self.code = code

    @property
    def is_no_route(self) -> bool:
        """The server has no such route, whatever run was asked for."""
        return self.status == 501 or (self.status in (404, 405) and not self.code)


class Body(Protocol):
    """The body of an answer, decompressed while it is read."""

    def read(self, size: int = -1, /) -> bytes: ...


class MlflowApi:
    """Calls one tracking server. ``transport`` takes the place of the network in tests.

    Every method raises TransientError or PermanentError. A redirect is refused: credentials are for one address only.
    """

    def __init__(
        self, server: TrackingServer, *, connections: int, transport: urllib3.PoolManager | None = None
    ) -> None:
        self._server = server
        self._transport = transport or connections_to(server.uri, connections)
        # On one machine compression costs more than it saves.
        self._accepted = "identity" if urlsplit(server.uri).hostname in LOOPBACK else "zstd, gzip;q=0.5"

    def get(self, path: str, member: str, **query: Any) -> Any:
        """One member of the JSON document at a path. Parameters that are None are left out."""
        with self.open(path, **query) as body:
            document = orjson.loads(body.read())
        if not isinstance(document, dict) or member not in document:
            raise self._no_mlflow(path)
        return document[member]

    def post(self, path: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON document that a path answers to what is asked."""
        with self._answer("POST", path, data=orjson.dumps(asked)) as body:
            document: dict[str, Any] = orjson.loads(body.read())
        return document

    @contextmanager
    def open(self, path: str, **query: Any) -> Iterator[Body]:
        """What is at a path, to be read piece by piece. What can't be parsed within the context is a PermanentError."""
        given = {name: value for name, value in query.items() if value is not None}
        with self._answer("GET", path, query=f"?{urlencode(given)}" if given else "") as body:
            yield body

    @contextmanager
    def _answer(self, method: str, path: str, *, query: str = "", data: bytes | None = None) -> Iterator[Body]:
        try:
            answer = self._transport.urlopen(
                method,
                f"{self._server.uri}/{path}{query}",
                body=data,
                headers=self._headers(data),
                timeout=TIMEOUT,
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
            )
            try:
                if answer.status != 200:
                    raise self._refusal(path, answer)
                yield _decompressed(answer)
            finally:
                # The connection goes back to the pool once the body was read to its end; else it is of no more use.
                answer.close()
        except (urllib3.exceptions.HTTPError, OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
            raise TransientError(f"MLflow at {self._server.uri} does not answer: {error}") from error
        except JSONDecodeError as error:
            raise self._no_mlflow(path) from error

    def _no_mlflow(self, path: str) -> PermanentError:
        text = f"{self._server.uri} did not answer to {path.removeprefix(API)} as MLflow does: is it an MLflow server?"
        return PermanentError(text)

    def _headers(self, data: bytes | None) -> dict[str, str]:
        headers = {"Accept-Encoding": self._accepted}
        if data is not None:
            headers["Content-Type"] = "application/json"
        if authorization := self._server.authorization():
            headers["Authorization"] = authorization
        return headers

    def _refusal(self, path: str, answer: urllib3.BaseHTTPResponse) -> TransientError | MlflowStatusError:
        code, reason = _reason(_decompressed(answer).read(LONGEST_REFUSAL))
        text = f"MLflow answered {answer.status} to {path.removeprefix(API)}: {reason}"
        if answer.status in (408, 429) or (answer.status >= 500 and answer.status != 501):
            return TransientError(text)
        if answer.status == 401:
            text = f"{text.rstrip('.')}. {HOW_TO_SIGN_IN}"
        return MlflowStatusError(text, answer.status, code)


def _decompressed(answer: urllib3.BaseHTTPResponse) -> Body:
    encoding = answer.headers.get("Content-Encoding", "")
    if encoding == "zstd":
        return zstandard.ZstdDecompressor().stream_reader(cast("IO[bytes]", answer), read_across_frames=True)
    return gzip.GzipFile(fileobj=answer) if encoding == "gzip" else answer


def _reason(text: bytes) -> tuple[str, str]:
    """MLflow's error code and message; of anything else the beginning."""
    try:
        document = orjson.loads(text)
        return str(document.get("error_code", "")), str(document.get("message", ""))[:LONGEST_REASON]
    except (JSONDecodeError, AttributeError):
        return "", text.decode(errors="replace")[:200]
