"""One request to MLflow's REST API, and what its answer means: a document, or one of the library's errors.

https://mlflow.org/docs/latest/rest-api.html
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from requests.auth import AuthBase

from warmboard.errors import (
    RequestNotProcessedError,
    TrackingError,
    TrackingRejectedError,
    TrackingTimeoutError,
    TrackingUnavailableError,
)

API = "/api/2.0/mlflow/"
CONNECT_TIMEOUT_SECONDS = 5.0
ANSWER_TIMEOUT_SECONDS = 30.0
TRANSIENT_STATUSES = frozenset({408, 425, 429})
NOT_IMPLEMENTED = 501


class RestApi:
    """The REST API at one address. ``uri`` holds no credentials. Requests are sent once: retries are the client's."""

    def __init__(self, uri: str, auth: AuthBase, session: requests.Session) -> None:
        self.uri = uri
        self._auth = auth
        self._session = session

    def get(self, route: str, **query: str) -> dict[str, Any]:
        """Return the object in the answer. Raises TrackingError."""
        return self._request("GET", f"{API}{route}", params=query)

    def post(self, route: str, body: Mapping[str, Any], *, timeout: float | None = None) -> dict[str, Any]:
        """Return the object in the answer. ``timeout`` is in seconds. Raises TrackingError."""
        return self._request("POST", f"{API}{route}", timeout=timeout, json=body)

    def check_health(self) -> None:
        """Return once ``/health`` answers 200. Raises TrackingError for any other answer."""
        self._request("GET", "/health")

    def _request(self, method: str, path: str, *, timeout: float | None = None, **arguments: Any) -> dict[str, Any]:
        answer_timeout = ANSWER_TIMEOUT_SECONDS if timeout is None else min(ANSWER_TIMEOUT_SECONDS, max(0.1, timeout))
        try:
            answer = self._session.request(
                method,
                self.uri + path,
                auth=self._auth,
                timeout=(min(CONNECT_TIMEOUT_SECONDS, answer_timeout), answer_timeout),
                # MLflow never redirects; a redirect leads to a sign-in page.
                allow_redirects=False,
                **arguments,
            )
        except requests.ConnectionError as error:
            kind = RequestNotProcessedError if _not_connected(error) else TrackingUnavailableError
            raise kind(f"no connection to {self.uri} ({_reason(error)})") from error
        except requests.Timeout as error:
            raise TrackingTimeoutError(f"{self.uri}{path} did not answer in {answer_timeout:.0f} s") from error
        except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError) as error:
            message = f"the answer of {self.uri}{path} is incomplete or damaged ({_reason(error)})"
            raise TrackingUnavailableError(message) from error
        except requests.RequestException as error:
            raise TrackingError(f"the request to {self.uri}{path} failed: {error}") from error
        return _document(answer, f"{method} {self.uri}{path}", wants_object=path.startswith(API))


def member(document: Mapping[str, Any], *path: str) -> str:
    """Return the member of an answer at this path. Raises TrackingRejectedError if it is missing."""
    value: Any = document
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    if value is None or isinstance(value, dict):
        message = f"this is not an answer of MLflow: {'.'.join(path)} is missing in {document!r:.200}"
        raise TrackingRejectedError(message, status=200)
    return str(value)


def _document(answer: requests.Response, what: str, *, wants_object: bool) -> dict[str, Any]:
    try:
        document = answer.json()
    except (RecursionError, ValueError):
        document = None
    is_object = isinstance(document, dict)
    if answer.status_code == 200 and (is_object or not wants_object):
        return document if is_object else {}
    code, text = (str(document.get(name, "")) for name in ("error_code", "message")) if is_object else ("", "")
    raise _error(answer, what, code, text or answer.text[:200])


def _error(answer: requests.Response, what: str, code: str, text: str) -> TrackingError:
    status = answer.status_code
    message = f"{what}: HTTP {status} {code} {text}".strip()
    if status in TRANSIENT_STATUSES or (500 <= status < 600 and status != NOT_IMPLEMENTED):
        kinds: dict[int, type[TrackingUnavailableError]] = {
            429: RequestNotProcessedError,
            504: TrackingTimeoutError,
            524: TrackingTimeoutError,
        }
        kind = kinds.get(status, TrackingUnavailableError)
        return kind(message, retry_after=_retry_after(answer.headers.get("Retry-After", "")))
    if status == 200 and answer.text.lstrip()[:1] in ("", "{"):
        return TrackingUnavailableError(f"{what}: the answer is incomplete or damaged: {text}")
    if status == 200:
        message = f"{what}: this is not an answer of MLflow (a sign-in page?). Is MLFLOW_TRACKING_URI right? {text}"
    if status in (401, 403):
        message += " (may this identity use the server? Does the server accept this host name: --allowed-hosts?)"
    return TrackingRejectedError(message, status=status, code=code)


def _retry_after(text: str) -> float:
    """Return the seconds of a ``Retry-After`` header, which is a number or a date; 0 if there is none."""
    try:
        return max(0.0, float(text)) if text.strip().isdecimal() else _until(parsedate_to_datetime(text))
    except ValueError:
        return 0.0


def _until(moment: datetime) -> float:
    return max(0.0, moment.timestamp() - time.time())


def _not_connected(error: requests.ConnectionError) -> bool:
    """Return True if the request was certainly not sent: refused, name not resolved, or no connection in time."""
    if isinstance(error, requests.ConnectTimeout):
        return True
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return type(reason).__name__ in ("NewConnectionError", "NameResolutionError", "ConnectTimeoutError")


def _reason(error: Exception) -> str:
    inner = getattr(error.args[0], "reason", None) if error.args else None
    return str(inner or error).rsplit(": ", 1)[-1]
