"""Asks a tracking server for one experiment: a request about no run, which tells a server that is down from a run that
can't be fetched.
"""

from __future__ import annotations

import threading
import time
from json import JSONDecodeError

import orjson
import urllib3

from workers.errors import TransientError
from workers.fetch.api import API
from workers.fetch.connections import connections_to
from workers.fetch.rest import rest_of
from workers.fetch.server import TrackingServer

SECONDS = 10.0
"""The time for the whole answer."""
TIMEOUT = urllib3.Timeout(connect=5, read=SECONDS)
LARGEST = 2**20
PIECE = 2**16
SHOWN = 200
ASKED = orjson.dumps({"max_results": 1})
REFUSES_US = (401, 403)
"""The server works, and refuses these credentials: without MLflow's error code if that was its sign-in."""


def ask(server: TrackingServer, seconds: float = SECONDS) -> str | None:
    """Why the server is down, within ``seconds``; None if it answers as MLflow does."""
    return asked(server, seconds).outcome


def asked(server: TrackingServer, seconds: float = SECONDS) -> Question:
    """A question that is over, within ``seconds``."""
    question = begin(server, seconds)
    question.answered.wait(seconds)
    return question


def begin(server: TrackingServer, seconds: float = SECONDS) -> Question:
    """Ask without waiting. A server that has not answered the last question gets no second one."""
    with _lock:
        question = _questions.get(server)
        if question is None or question.answered.is_set():
            question = Question(server, seconds)
            question.start()
            # Not before: one that could not be started is never answered.
            _questions[server] = question
    return question


class Question(threading.Thread):
    """One request, in its own thread: a name that does not resolve and headers that come byte by byte have no deadline.
    ``answered`` is set when it has ended; ``rest`` is how many seconds the server then wants to be left alone.
    """

    def __init__(self, server: TrackingServer, seconds: float) -> None:
        super().__init__(name=f"ask {server.name}", daemon=True)
        self._server, self._seconds, self._began = server, seconds, time.monotonic()
        self._reason: str | None = f"{server.uri} can't be asked"
        self.answered = threading.Event()
        self.rest = 0.0

    @property
    def is_over(self) -> bool:
        """Whether it is answered, or has waited long enough."""
        return self.answered.is_set() or time.monotonic() - self._began > self._seconds

    @property
    def outcome(self) -> str | None:
        """Why the server is down; None if it has answered as MLflow does."""
        return self._reason if self.answered.is_set() else _slow(self._server, self._seconds)

    def run(self) -> None:
        try:
            self._reason = self._read()
        except TransientError as error:
            self._reason = str(error)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            self._reason = f"MLflow at {self._server.uri} does not answer: {error}"
        finally:
            self.answered.set()

    def _read(self) -> str | None:
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if authorization := self._server.authorization():
            headers["Authorization"] = authorization
        with connections_to(self._server.uri, 1, self._server.certificate) as pool:
            answer = pool.urlopen(
                "POST",
                f"{self._server.uri}/{API}experiments/search",
                body=ASKED,
                headers=headers,
                timeout=TIMEOUT,
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
            )
            self.rest = rest_of(answer.status, answer.headers)
            try:
                body = self._body(answer)
            finally:
                answer.close()
        if time.monotonic() - self._began > self._seconds:
            return _slow(self._server, self._seconds)
        return None if _is_mlflow(answer.status, body) else self._told(answer.status, body)

    def _body(self, answer: urllib3.BaseHTTPResponse) -> bytes:
        """The body, as far as it comes in time and is no larger than any answer to this request."""
        body = b""
        while len(body) < LARGEST and time.monotonic() - self._began < self._seconds:
            piece = answer.read1(PIECE)
            if not piece:
                break
            body += piece
        return body

    def _told(self, status: int, body: bytes) -> str:
        text = body[:SHOWN].decode(errors="replace")
        if status == 200:
            return f"{self._server.uri} answers unlike MLflow: is it an MLflow server? It says: {text}"
        return f"MLflow at {self._server.uri} answers {status}: {text}"


_questions: dict[TrackingServer, Question] = {}
_lock = threading.Lock()


def _is_mlflow(status: int, body: bytes) -> bool:
    """Whether MLflow has answered: with a page of experiments, which may be empty, or with an error code of its own."""
    if status in REFUSES_US:
        return True
    try:
        document = orjson.loads(body)
    except JSONDecodeError:
        return False
    if not isinstance(document, dict):
        return False
    if status == 200:
        return not document or isinstance(document.get("experiments"), list)
    return status < 500 and status not in (408, 429) and bool(document.get("error_code"))


def _slow(server: TrackingServer, seconds: float) -> str:
    return f"MLflow at {server.uri} does not answer within {seconds:.0f} s"
