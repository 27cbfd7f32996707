"""What is said of a tracking server, by its answers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from typing import Any

import pytest

from deploy.local.process import free_port
from tests.workers.doctor.seen import problems, the_failure, the_warning
from tests.workers.fetch.small_server import Answer, serving
from workers.doctor.finding import Finding, Given
from workers.doctor.tracking import SEARCH, checks
from workers.fetch.bulk import VERSION_PATH
from workers.settings import Settings

JSON = {"Content-Type": "application/json"}
HTML = {"Content-Type": "text/html; charset=utf-8"}
FOUND = (200, b'{"experiments": [{"experiment_id": "0"}]}', JSON)


def look(address: str, **more: str) -> list[Finding]:
    environ = {"MLFLOW_TRACKING_URI": address, **more}
    settings = Settings.read(environ)
    return [finding for check in checks(settings) for finding in check.look(Given(environ, settings))]


@contextmanager
def answering(answers: dict[str, Answer]) -> Iterator[str]:
    """A server with these answers to paths, and 404 of MLflow's kind to others."""
    missing = (404, b"Not Found", {"Content-Type": "text/plain"})
    with serving(lambda path, *_: answers.get(path.lstrip("/"), missing)) as server:
        yield server.address


def said_of(answer: Answer) -> list[Finding]:
    with answering({SEARCH: answer}) as address:
        return look(address)


def test_a_stock_server_is_fine_and_read_metric_by_metric() -> None:
    with answering({SEARCH: FOUND, "version": (200, b"3.17.2", {})}) as address:
        [found] = look(address)
    assert problems([found]) == []
    assert found.text.startswith(f"MLflow 3.17.2 answers at {address}; it lacks Warmboard's route")


def test_ours_is_read_with_one_request() -> None:
    with answering({SEARCH: FOUND, VERSION_PATH: (200, b'{"history": 1}', JSON)}) as address:
        [found] = look(address)
    assert found.text == f"MLflow of an unknown version answers at {address}; a run is fetched with one request"


def test_an_old_version_is_a_warning() -> None:
    with answering({SEARCH: FOUND, "version": (200, b"2.3.1", {})}) as address:
        assert "MLflow 2.3.1 is older" in the_warning(look(address))


def test_every_server_is_looked_at() -> None:
    with answering({SEARCH: FOUND}) as address:
        nowhere = f"http://127.0.0.1:{free_port()}"
        found = look(nowhere, MLFLOW_TRACKING_SERVERS=f"other={address},third={nowhere}")
    assert {finding.subject: finding.level.value for finding in found} == {
        "MLflow default": "failure", "MLflow other": "ok", "MLflow third": "failure",
    }  # fmt: skip
    fixes = {finding.subject: finding.fix for finding in found}
    assert "correct MLFLOW_TRACKING_URI;" in fixes["MLflow default"]
    assert "correct MLFLOW_TRACKING_SERVERS;" in fixes["MLflow third"]


def test_nothing_at_the_address() -> None:
    text = the_failure(look(f"http://127.0.0.1:{free_port()}"))
    assert "nothing answers at http://127.0.0.1:" in text
    assert "refused" in text
    assert "resolve" in the_failure(look("http://mlflow.invalid"))


def test_https_for_a_server_without_tls() -> None:
    with answering({}) as address:
        assert "does not speak TLS → Write http:// in" in the_failure(look(address.replace("http:", "https:")))


@pytest.mark.parametrize("status", [200, 403, 404])
def test_a_sign_in_page_is_not_mlflow(status: int) -> None:
    page = (status, b"<!DOCTYPE html><title>Sign in</title><form>", HTML)
    text = the_failure(said_of(page))
    if status != 403:
        assert (
            "is not MLflow: it answers its API with a web page, perhaps a sign-in page → Correct MLFLOW_TRACKING_URI"
            in text
        )


@pytest.mark.parametrize("body", [b"", b"[]", b"hello", b"\xff\x00", b"{"])
def test_another_servers_answer_is_not_mlflow(body: bytes) -> None:
    assert "is not MLflow" in the_failure(said_of((200, body, {"Content-Type": "text/plain"})))


def test_a_redirect_names_where_to_and_hides_the_rest() -> None:
    text = the_failure(said_of((302, b"", {"Location": "https://accounts.example.com/sign-in?state=secret"})))
    assert "redirects to https://accounts.example.com/sign-in →" in text
    assert "secret" not in text


def test_credentials_are_asked_for_or_rejected() -> None:
    refusal = {SEARCH: (401, b'{"error_code": "UNAUTHENTICATED"}', JSON)}
    with answering(refusal) as address:
        assert "wants credentials (401) → Set MLFLOW_TRACKING_USERNAME" in the_failure(look(address))
        given = {"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": "hunter22"}
        text = the_failure(look(address, **given))
    assert "rejects these credentials (401) → Correct MLFLOW_TRACKING_USERNAME" in text
    assert "MLFLOW_TRACKING_TOKEN" in text
    assert "hunter22" not in text


@pytest.mark.parametrize("body", [b"{}", b'{"experiments": []}'])
def test_a_server_that_shows_no_experiment(body: bytes) -> None:
    assert "shows no experiment: it has none, or" in the_warning(said_of((200, body, JSON)))


def test_a_server_that_forbids_the_request() -> None:
    text = the_failure(said_of((403, b"Your client does not have permission to get this URL", {})))
    assert "forbids the request (403): Your client does not" in text
    assert "roles/run.invoker" in text


def test_an_error_of_the_server_is_quoted() -> None:
    answer = json.dumps({"error_code": "INTERNAL_ERROR", "message": "the database\nis down"}).encode()
    assert "answers 500: the database is down" in the_failure(said_of((500, answer, JSON)))


@pytest.mark.parametrize(("hours", "words"), [(1, "1.0 h ahead of"), (-1, "1.0 h behind")])
def test_a_clock_that_is_an_hour_off(hours: float, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.workers.fetch.small_server import Handler

    monkeypatch.setattr(Handler, "date_time_string", lambda *_: formatdate(time.time() + hours * 3600, usegmt=True))
    assert f"its clock is {words} this machine's" in the_failure(said_of(FOUND))


def test_an_endless_answer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    body = b'{"experiments": ["' + b"x" * 2**21 + b'"]}'
    found: Any = said_of((200, body, JSON))
    assert "is not MLflow" in the_failure(found)
