"""Signing in with Google: who gets an account, and what keeps all others out. The server is ours, the wire is real."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests
from django.contrib.auth.models import Group, User
from django.test import Client
from pytest_django import Settings

import webapp.urls
from tests.waiting import PATIENCE
from tests.webapp.access.test_no_outgoing import guarded, read_everything
from tests.webapp.google import ADA, CLIENT_ID, CLIENT_SECRET, Google, google, new_key
from tests.webapp.samples import Sample
from webapp.accounts import throttle
from webapp.accounts.models import AuditRecord, FailedSignIn
from webapp.google_sign_in.endpoints import Endpoints
from webapp.google_sign_in.models import GoogleAccount

BEGIN, BACK = "/sign-in/google/", "/sign-in/google/callback/"


@pytest.fixture
def server(db: None, settings: Settings) -> Iterator[Google]:
    with google() as running:
        settings.GOOGLE_CLIENT_ID, settings.GOOGLE_CLIENT_SECRET = CLIENT_ID, CLIENT_SECRET
        settings.GOOGLE_DOMAINS, settings.GOOGLE_ENDPOINTS = ["example.org", "example.com"], running.endpoints
        yield running


def come_back(client: Client, path: str = BEGIN) -> str:
    """As a browser does: to Google, and where that leads to."""
    away = client.get(path)
    assert away.status_code == 302
    sent = requests.get(away["Location"], allow_redirects=False, timeout=PATIENCE)
    back = urlsplit(sent.headers["Location"])
    assert back.path == BACK
    return f"{back.path}?{back.query}"


def sign_in(client: Client, path: str = BEGIN) -> Any:
    return client.get(come_back(client, path))


def refused(client: Client, server: Google, status: int, says: str) -> None:
    answer = sign_in(client)
    assert answer.status_code == status
    assert says in answer.content.decode()
    assert client.get("/").status_code == 302, "no one is signed in"
    assert not User.objects.exists()


def test_an_address_of_the_domain_gets_an_account_that_reads(anyone: Client, server: Google) -> None:
    answer = sign_in(anyone, f"{BEGIN}?next=/compare/")
    assert answer["Location"] == "/compare/"
    user = User.objects.get()
    assert (user.username, user.email, user.has_usable_password()) == ("ada@example.org", "ada@example.org", False)
    assert [group.name for group in user.groups.all()] == ["viewer"]
    assert not user.is_superuser
    page = anyone.get("/").content.decode()
    assert "ada@example.org</a>" in page
    assert '<span class="role">viewer</span>' in page
    assert list(AuditRecord.objects.values_list("who", "action", "target", "detail")) == [
        ("ada@example.org", "sign in with Google", "account ada@example.org", "made, viewer")
    ]
    assert anyone.post("/sign-out/").status_code == 302
    assert sign_in(anyone)["Location"] == "/"
    assert User.objects.count() == AuditRecord.objects.count() == 1


def test_the_group_of_new_accounts_can_be_set(anyone: Client, server: Google, settings: Settings) -> None:
    settings.GOOGLE_GROUP = "editor"
    sign_in(anyone)
    assert User.objects.get().groups.get().name == "editor"


def test_a_person_stays_the_same_when_their_address_changes(anyone: Client, server: Google) -> None:
    sign_in(anyone)
    User.objects.get().groups.set([Group.objects.get(name="operator")])
    server.claims |= {"email": "ada.king@example.org"}
    sign_in(Client())
    assert User.objects.get().groups.get().name == "operator", "and with their rights"
    server.claims |= {"sub": "2002", "email": "ada@example.org"}
    answer = sign_in(Client())
    assert (answer.status_code, b"a previous owner of this address" in answer.content) == (403, True)
    assert User.objects.count() == 1


def test_an_account_of_that_name_is_theirs(anyone: Client, server: Google) -> None:
    made = User.objects.create_user("ada@example.org")
    made.groups.add(Group.objects.get(name="editor"))
    sign_in(anyone)
    assert User.objects.get().groups.get().name == "editor"
    assert GoogleAccount.objects.get().user == made
    assert AuditRecord.objects.get().detail == "linked"


@pytest.mark.parametrize(
    ("claims", "status", "says"),
    [
        ({"hd": "elsewhere.org", "email": "ada@elsewhere.org"}, 403, "is not an account of example.org or example.com"),
        ({"hd": "elsewhere.org"}, 403, "is not an account of"),
        ({"hd": None}, 403, "is not an account of"),
        ({"email": "ada@example.org.evil.net"}, 403, "is not an account of"),
        ({"email_verified": False}, 403, "has not verified the address ada@example.org"),
        ({"email_verified": "true"}, 403, "has not verified"),
        ({"email": "x" * 200 + "@example.org"}, 403, "too long"),
        ({"nonce": "of another sign-in"}, 400, "can&#x27;t be verified"),
        ({"aud": "another.client"}, 400, "can&#x27;t be verified"),
        ({"iss": "https://evil.example"}, 400, "can&#x27;t be verified"),
        ({"exp": 1_700_000_000}, 400, "can&#x27;t be verified"),
    ],
)
def test_all_others_are_told_why_not(
    anyone: Client, server: Google, claims: dict[str, Any], status: int, says: str
) -> None:
    server.claims |= claims
    refused(anyone, server, status, says)


def test_an_error_of_google_is_passed_on(anyone: Client, server: Google) -> None:
    server.refuses = "access_denied"
    refused(anyone, server, 403, "Google did not sign you in: access_denied.")
    server.refuses = "<b>Call 555 now</b>"
    refused(anyone, server, 403, "Google did not sign you in: an error.")


def test_a_google_that_does_not_answer_is_reported_as_down(anyone: Client, server: Google, settings: Settings) -> None:
    server.fails = 503
    refused(anyone, server, 502, "Google is unreachable")
    addresses = server.endpoints
    settings.GOOGLE_ENDPOINTS = Endpoints(addresses.authorize, "http://127.0.0.1:9/", addresses.keys)
    refused(anyone, server, 502, "Google is unreachable")


def test_an_answer_that_another_has_signed_is_not_trusted(anyone: Client, server: Google) -> None:
    server.key = new_key(server.kid)
    refused(anyone, server, 400, "can&#x27;t be verified")


def test_a_new_key_of_google_is_fetched(anyone: Client, server: Google) -> None:
    sign_in(anyone)
    server.renew_key()
    assert sign_in(Client())["Location"] == "/"


def test_what_was_not_begun_in_this_browser_ends_here(anyone: Client, server: Google) -> None:
    address = come_back(anyone)
    parts = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    strange = [
        (Client(), parts), (anyone, parts | {"state": "made up"}), (anyone, {"code": "x"}), (anyone, {}),
        (anyone, {"state": parts["state"] + "\0", "code": "x"}),
    ]  # fmt: skip
    for client, query in strange:
        answer = client.get(f"{BACK}?{urlencode(query)}")
        assert answer.status_code == 400
        assert b"not started in this browser" in answer.content
    assert not FailedSignIn.objects.exists(), "any page can lead people here"
    assert server.tokens == 0, "Google is not asked"
    assert anyone.get(address).status_code == 302
    assert anyone.get(address).status_code == 400, "once is enough"


def test_a_code_of_another_sign_in_gives_nothing(anyone: Client, server: Google) -> None:
    mine, theirs = come_back(anyone), come_back(Client())
    code = parse_qs(urlsplit(theirs).query)["code"][0]
    state = parse_qs(urlsplit(mine).query)["state"][0]
    answer = anyone.get(f"{BACK}?{urlencode({'code': code, 'state': state})}")
    assert (answer.status_code, b"invalid_grant" in answer.content) == (403, True)
    assert not User.objects.exists()


def test_a_closed_account_stays_closed(anyone: Client, server: Google) -> None:
    sign_in(anyone)
    User.objects.update(is_active=False)
    answer = sign_in(Client())
    assert (answer.status_code, b"is closed" in answer.content) == (403, True)


def test_after_some_failures_google_is_not_asked_again(anyone: Client, server: Google) -> None:
    server.claims |= {"email_verified": False}
    for _ in range(throttle.MOST_OF_BOTH):
        assert sign_in(anyone).status_code == 403
    server.claims = dict(ADA)
    asked = server.tokens
    refusal = sign_in(anyone)
    assert (refusal.status_code, refusal["Retry-After"]) == (429, "900")
    assert server.tokens == asked
    address = come_back(anyone)
    assert anyone.get(address, REMOTE_ADDR="10.0.0.9").status_code == 302, "from elsewhere it goes on"


def test_it_leads_to_no_other_host(anyone: Client, server: Google) -> None:
    assert sign_in(anyone, f"{BEGIN}?next=https://evil.example/")["Location"] == "/"
    assert anyone.get(BEGIN, headers={"Host": "evil.example"}).status_code == 400


def test_the_request_names_what_google_needs(anyone: Client, server: Google, settings: Settings) -> None:
    settings.GOOGLE_DOMAINS = ["example.org"]
    asked = {name: values[0] for name, values in parse_qs(urlsplit(anyone.get(BEGIN)["Location"]).query).items()}
    assert asked["client_id"] == CLIENT_ID
    assert asked["redirect_uri"] == f"http://testserver{BACK}"
    assert asked["scope"] == "openid email"
    assert (asked["code_challenge_method"], asked["hd"]) == ("S256", "example.org")
    assert asked.keys() >= {"state", "nonce", "code_challenge"}


def test_the_sign_in_page_offers_it_where_it_is_configured(anyone: Client, server: Google, settings: Settings) -> None:
    link = '<a class="button" href="/sign-in/google/?next=/compare/">\nSign in with Google\n</a>'
    assert link in anyone.get("/sign-in/?next=/compare/").content.decode()
    settings.GOOGLE_CLIENT_ID = ""
    assert "google" not in anyone.get("/sign-in/").content.decode().lower()
    assert anyone.get(BEGIN).status_code == anyone.get(BACK).status_code == 404


def test_reads_go_to_google_no_more_than_anywhere(reader: Client, server: Google, sample: Sample) -> None:
    with guarded() as attempts:
        read_everything(reader, webapp.urls)
    assert attempts == []
    assert server.tokens == 0
