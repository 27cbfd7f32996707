"""Personal access tokens: made once, shown once, good for reading the API until they end."""

from __future__ import annotations

import logging
import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from tests.webapp.samples import Sample
from webapp.accounts.models import AuditRecord
from webapp.tokens.models import Token
from webapp.tokens.page import MOST

BODY = "/api/runs/abc123def456/training-history/"


@pytest.fixture
def token(db: None) -> str:
    """Of a user who has no session."""
    return Token.create(User.objects.create_user("grace"), "notebook", 30)[1]


def ask(client: Client, token: str, address: str = BODY) -> int:
    return client.get(address, headers={"Authorization": f"Bearer {token}"}).status_code


def test_a_token_is_shown_once_and_kept_as_a_hash(reader: Client) -> None:
    page = reader.post("/tokens/", {"name": "notebook", "days": "90"})
    shown = re.search(r"wb_[\w-]{43}", page.content.decode())
    assert shown
    assert page["Cache-Control"].startswith("max-age=0, no-cache, no-store")
    again = reader.get("/tokens/").content.decode()
    assert shown[0] not in again
    assert shown[0][-4:] in again
    row = Token.objects.get()
    assert shown[0] not in str(vars(row))
    assert row.expires_at
    assert timedelta(days=89) < row.expires_at - timezone.now() <= timedelta(days=90)


@pytest.mark.parametrize("form", [{}, {"name": " "}, {"name": "a\0b"}, {"name": "x" * 101}, {"name": "a", "days": "7"}])
def test_a_form_that_cannot_be_used_is_400(reader: Client, form: dict[str, str]) -> None:
    answer = reader.post("/tokens/", form)
    assert answer.status_code == 400
    assert 'role="alert"' in answer.content.decode()
    assert not Token.objects.exists()


def test_tokens_are_bounded(reader: Client) -> None:
    user = User.objects.get(username="ada")
    for number in range(MOST):
        Token.create(user, str(number), None)
    assert b"revoke one first" in reader.post("/tokens/", {"name": "one more"}).content


def test_forms_need_their_csrf_token_and_a_session(
    reader: Client, anyone: Client, token: str, settings: Settings
) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = reader.cookies
    assert strict.post("/tokens/", {"name": "forged"}).status_code == 403
    assert strict.post("/tokens/1/revoke/").status_code == 403
    assert anyone.get("/tokens/", headers={"Authorization": f"Bearer {token}"}).status_code == 302
    settings.LOOPBACK_READ = True
    assert anyone.get("/tokens/")["Location"] == "/sign-in/?next=/tokens/"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_token_reads_the_api(anyone: Client, sample: Sample, token: str, scheme: str) -> None:
    for address in (
        BODY,
        "/api/runs/",
        "/api/runs/abc123def456/",
        "/api/openapi.json",
        "/api/runs/abc123def456/export.csv",
    ):
        for method in (anyone.get, anyone.head):
            assert method(address, headers={"Authorization": f"{scheme} {token}"}).status_code == 200


def test_a_token_opens_no_page_and_changes_nothing(anyone: Client, sample: Sample, token: str) -> None:
    for address in ("/", "/runs/abc123def456/", "/tokens/", "/api/docs/"):
        assert ask(anyone, token, address) == 302
    headers = {"Authorization": f"Bearer {token}"}
    assert anyone.post("/api/runs/", headers=headers).status_code == 405
    assert Client(enforce_csrf_checks=True).post("/tokens/", {"name": "x"}, headers=headers).status_code in (302, 403)
    assert Token.objects.count() == 1


def test_a_bad_token_is_401_and_says_why(anyone: Client, sample: Sample, token: str) -> None:
    row = Token.objects.get()

    def refusal(text: str) -> str:
        answer = anyone.get(BODY, headers={"Authorization": f"Bearer {text}"})
        assert answer.status_code == 401
        error: str = answer.json()["error"]
        assert answer["WWW-Authenticate"] == f'Bearer error="invalid_token", error_description="{error}"'
        assert answer["Cache-Control"] == "no-store"
        return error

    assert refusal("wb_" + "x" * 43) == refusal("nonsense") == refusal("é\0") == "The token is unknown."
    row.user.is_active = False
    row.user.save()
    assert "no longer" in refusal(token)
    Token.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert refusal(token) == "The token has expired."
    row.revoke()
    assert refusal(token) == "The token has been revoked."
    assert anyone.get(BODY)["WWW-Authenticate"] == "Bearer"


def test_a_bad_token_is_rejected_even_where_none_is_needed(
    reader: Client, anyone: Client, sample: Sample, settings: Settings
) -> None:
    settings.LOOPBACK_READ = True
    assert anyone.get(BODY).status_code == 200
    assert ask(anyone, "wb_wrong") == ask(reader, "wb_wrong") == 401
    assert anyone.get(BODY, headers={"Authorization": "Basic YTpi"}).status_code == 200


def test_the_second_read_of_a_body_asks_no_database(
    anyone: Client, sample: Sample, token: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(3):  # the token, the note of its use, and what its user may not see
        assert ask(anyone, token) == 200
    with django_assert_num_queries(0):
        assert ask(anyone, token) == 200


def test_what_is_known_of_one_reader_opens_nothing_to_another(
    reader: Client, anyone: Client, sample: Sample, token: str
) -> None:
    assert ask(anyone, token) == reader.get(BODY).status_code == 200
    anyone.cookies["sessionid"] = token
    assert anyone.get(BODY).status_code == 401
    assert ask(anyone, reader.cookies["sessionid"].value) == 401


def test_a_revoked_token_reads_no_more(reader: Client, anyone: Client, sample: Sample) -> None:
    page = reader.post("/tokens/", {"name": "notebook"}).content.decode()
    token = re.search(r"wb_[\w-]{43}", page)
    assert token
    assert ask(anyone, token[0]) == ask(anyone, token[0]) == 200
    assert reader.post(f"/tokens/{Token.objects.get().pk}/revoke/")["Location"] == "/tokens/"
    assert ask(anyone, token[0]) == 401
    assert b"You have no tokens" in reader.get("/tokens/").content


def test_both_ends_of_a_token_are_in_the_audit_log(reader: Client, token: str) -> None:
    shown = re.search(r"wb_[\w-]{43}", reader.post("/tokens/", {"name": "notebook", "days": "90"}).content.decode())
    assert shown
    mine = Token.objects.get(user__username="ada")
    reader.post(f"/tokens/{mine.pk}/revoke/")
    assert reader.post(f"/tokens/{Token.find(token).pk}/revoke/").status_code == 404  # type: ignore[union-attr]
    reader.post("/tokens/", {"name": " "})
    named = f"notebook …{shown[0][-4:]}"
    written = AuditRecord.objects.order_by("pk").values_list("who", "action", "target", "detail")
    assert list(written) == [("ada", "make token", named, "90 days"), ("ada", "revoke token", named, "")]


def test_no_one_revokes_another_user_s_token(reader: Client, anyone: Client, sample: Sample, token: str) -> None:
    assert reader.post(f"/tokens/{Token.objects.get().pk}/revoke/").status_code == 404
    assert b"notebook" not in reader.get("/tokens/").content
    assert ask(anyone, token) == 200


def test_the_last_use_is_noted_once_a_minute(anyone: Client, sample: Sample, token: str) -> None:
    assert ask(anyone, token, "/api/runs/") == 200
    first = Token.objects.get().used_at
    assert first
    assert ask(anyone, token, "/api/runs/") == 200
    assert Token.objects.get().used_at == first
    Token.objects.update(used_at=first - timedelta(minutes=2))
    assert ask(anyone, token, "/api/runs/") == 200
    assert Token.objects.get().used_at >= first  # type: ignore[operator]


def test_tokens_are_in_no_log(
    anyone: Client, sample: Sample, token: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise ZeroDivisionError

    anyone.raise_request_exception = False
    with caplog.at_level(logging.DEBUG):
        for text in (token, f"{token}x"):
            ask(anyone, text)
            ask(anyone, text, "/api/nothing/")
        monkeypatch.setattr("webapp.listing.api.find", fail)
        assert ask(anyone, token, "/api/runs/") == 500
    assert caplog.records
    assert token not in caplog.text
