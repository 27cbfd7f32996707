"""Who may read, and what every answer says to the browser."""

from __future__ import annotations

import time
from typing import Any

import pytest
from cachetools import TTLCache
from csp.middleware import CSPMiddleware
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.http import HttpRequest, HttpResponse
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.security import SecurityMiddleware
from django.test import Client, RequestFactory
from pytest_django import Settings

from tests.waiting import PATIENCE
from tests.webapp.samples import Sample
from webapp.access.readers import readers
from webapp.access.security_headers import SecurityHeadersMiddleware

BODY = "/api/runs/abc123def456/training-history/"
PASSWORD = "correct horse"  # noqa: S105 - of this test's users


def test_pages_lead_to_the_sign_in_page_and_back(anyone: Client, sample: Sample) -> None:
    User.objects.create_user("ada", password=PASSWORD)
    assert anyone.get("/runs/abc123def456/")["Location"] == "/sign-in/?next=/runs/abc123def456/"
    form = {"username": "ada", "password": "wrong", "next": "/runs/abc123def456/"}
    assert "Wrong user name or password." in anyone.post("/sign-in/", form).content.decode()
    answer = anyone.post("/sign-in/", form | {"password": PASSWORD})
    assert answer["Location"] == "/runs/abc123def456/"
    assert anyone.get("/").status_code == 200
    assert anyone.post("/sign-out/")["Location"] == "/sign-in/"
    assert anyone.get("/").status_code == 302


def test_signing_in_leads_nowhere_else(anyone: Client) -> None:
    User.objects.create_user("ada", password=PASSWORD)
    form = {"username": "ada", "password": PASSWORD, "next": "https://evil.example/"}
    assert anyone.post("/sign-in/", form)["Location"] == "/"


def test_forms_need_their_token(db: None) -> None:
    assert Client(enforce_csrf_checks=True).post("/sign-in/", {"username": "a"}).status_code == 403


def test_loopback_reads_without_signing_in_where_allowed(anyone: Client, sample: Sample, settings: Settings) -> None:
    settings.LOOPBACK_READ = True
    page = anyone.get("/")
    assert page.status_code == 200
    assert b"local read, not signed in" in page.content
    assert anyone.get("/api/runs/", REMOTE_ADDR="::1").status_code == 200
    assert anyone.head("/api/runs/").status_code == 200


@pytest.mark.parametrize(
    "meta",
    [
        {"REMOTE_ADDR": "10.0.0.7"},
        {"REMOTE_ADDR": "10.0.0.7", "HTTP_X_FORWARDED_FOR": "127.0.0.1"},
        {"REMOTE_ADDR": ""},
        {"HTTP_X_FORWARDED_FOR": "127.0.0.1"},
        {"HTTP_FORWARDED": "for=10.0.0.7"},
        {"HTTP_VIA": "1.1 proxy"},
    ],
)
def test_loopback_means_a_peer_on_this_machine_without_a_proxy(
    anyone: Client, settings: Settings, meta: dict[str, str]
) -> None:
    settings.LOOPBACK_READ = True
    anyone.defaults |= meta
    assert anyone.get("/api/runs/").status_code == 401


def test_loopback_reads_and_does_nothing_else(anyone: Client, settings: Settings) -> None:
    settings.LOOPBACK_READ = True
    assert anyone.post("/api/runs/").status_code == 401


def test_another_host_name_is_refused(reader: Client) -> None:
    assert reader.get("/", headers={"Host": "evil.example"}).status_code == 400


@pytest.mark.parametrize(
    "address",
    ["/", "/sign-in/", "/runs/abc123def456/", "/tokens/", "/api/docs/", "/api/runs/", BODY, "/nothing/", "/healthz"],
)
def test_every_answer_is_hardened(reader: Client, sample: Sample, address: str) -> None:
    response = reader.get(address)
    policy = response["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert response["Cross-Origin-Opener-Policy"] == "same-origin"
    assert response["X-Frame-Options"] == "DENY"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize("led_here", ["cross-site", "same-site", "something new", ""])
def test_a_site_that_opens_a_page_of_ours_does_not_keep_hold_of_its_window(reader: Client, led_here: str) -> None:
    response = reader.get("/", headers={"Sec-Fetch-Site": led_here})
    assert response["Cross-Origin-Opener-Policy"] == "same-origin"


@pytest.mark.parametrize("led_here", ["none", "same-origin"])
@pytest.mark.parametrize("page", ["/", "/runs/abc123def456/", "/compare/"])
def test_a_page_that_only_shows_stays_in_its_process_where_no_other_site_has_led(
    reader: Client, page: str, led_here: str
) -> None:
    assert "Cross-Origin-Opener-Policy" not in reader.get(page, headers={"Sec-Fetch-Site": led_here})


@pytest.mark.parametrize("page", ["/sign-in/", "/tokens/", "/operations/", "/operations/replay/", "/nothing/"])
def test_where_somebody_signs_in_or_acts_no_site_keeps_hold_of_the_window(reader: Client, page: str) -> None:
    response = reader.get(page, headers={"Sec-Fetch-Site": "none"})
    assert response["Cross-Origin-Opener-Policy"] == "same-origin"


@pytest.mark.parametrize("address", ["/", "/sign-in/", "/runs/abc123def456/", "/tokens/", "/api/docs/", "/nothing/"])
def test_pages_hold_nothing_inline(reader: Client, sample: Sample, address: str) -> None:
    page = reader.get(address).content.decode()
    scripts = [part.split(">", 1)[0] for part in page.split("<script")[1:]]
    assert all("src=" in script or 'type="application/json"' in script for script in scripts)
    assert "<style" not in page
    assert " style=" not in page
    assert " onclick=" not in page
    assert "https://" not in page.replace("http://www.w3.org", "")


def test_the_constant_headers_are_those_that_the_middlewares_would_send() -> None:
    """Django's and django-csp's own, one about the other."""

    def plain(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    def said(respond: Any) -> dict[str, set[str]]:
        answer = respond(RequestFactory().get("/", secure=True))
        return {name: set(value.split("; ")) for name, value in answer.items()}

    expected = SecurityMiddleware(XFrameOptionsMiddleware(CSPMiddleware(plain)))
    assert said(SecurityHeadersMiddleware(plain)) == said(expected)


def test_https_is_demanded_where_it_is_set(anyone: Client, settings: Settings) -> None:
    settings.SECURE_SSL_REDIRECT = settings.LOOPBACK_READ = True
    settings.SECURE_HSTS_SECONDS, settings.SECURE_HSTS_INCLUDE_SUBDOMAINS = 600, True
    client = Client()  # reads the settings again
    refused = client.get("/api/runs/x/training-history/")
    assert (refused.status_code, refused["Location"]) == (301, "https://testserver/api/runs/x/training-history/")
    assert "Strict-Transport-Security" not in refused
    answer = client.get("/api/runs/x/training-history/", secure=True)
    assert (answer.status_code, answer["Strict-Transport-Security"]) == (200, "max-age=600; includeSubDomains")


def read_twice(client: Client) -> int:
    """The second time past the session, if the first was let in. The second status."""
    client.get(BODY)
    return client.get(BODY).status_code


def test_who_signs_out_reads_no_more(reader: Client, sample: Sample) -> None:
    assert read_twice(reader) == 200
    cookie = reader.cookies["sessionid"].value
    reader.post("/sign-out/")
    reader.cookies["sessionid"] = cookie
    assert reader.get(BODY).status_code == 401


@pytest.mark.parametrize("change", [{"is_active": False}, {"password": "!"}])
def test_who_may_no_longer_sign_in_reads_no_more(reader: Client, sample: Sample, change: dict[str, object]) -> None:
    assert read_twice(reader) == 200
    user = User.objects.get(username="ada")
    for name, value in change.items():
        setattr(user, name, value)
    user.save()
    assert reader.get(BODY).status_code == 401


def test_an_account_that_is_gone_reads_no_more(reader: Client, sample: Sample) -> None:
    assert read_twice(reader) == 200
    User.objects.all().delete()
    assert reader.get(BODY).status_code == 401


def test_a_session_that_ended_elsewhere_is_noticed_soon(
    reader: Client, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "_good", TTLCache(8, 0.2))
    assert read_twice(reader) == 200
    Session.objects.all().delete()
    # However busy the session is.
    until = time.monotonic() + PATIENCE
    while reader.get(BODY).status_code == 200:
        assert time.monotonic() < until
    assert reader.get(BODY).status_code == 401


def test_the_short_way_is_for_reads_of_bodies_alone(reader: Client, sample: Sample) -> None:
    assert read_twice(reader) == 200
    Session.objects.all().delete()
    assert reader.get(BODY).status_code == 200
    for address in ("/api/runs/", "/api/runs/abc123def456/", "/api/nothing/"):
        assert reader.get(address).status_code in (401, 404)
    assert reader.post(BODY).status_code == 401
    assert reader.get("/").status_code == 302


def test_the_short_way_refuses_another_host_name(reader: Client, sample: Sample, settings: Settings) -> None:
    assert read_twice(reader) == 200
    assert reader.get(BODY, headers={"Host": "evil.example"}).status_code == 400
    settings.LOOPBACK_READ = True
    assert Client().get(BODY, headers={"Host": "evil.example"}).status_code == 400
    assert Client().get(BODY, headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 401


def test_cookies_are_out_of_reach_of_scripts() -> None:
    assert django_settings.SESSION_COOKIE_HTTPONLY
    assert django_settings.CSRF_COOKIE_HTTPONLY
    assert django_settings.SESSION_COOKIE_SAMESITE == "Lax"
