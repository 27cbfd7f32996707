"""Who may read, and what every answer says to the browser."""

from __future__ import annotations

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from tests.webapp.samples import Sample

PASSWORD = "correct horse"  # noqa: S105 - of this test's users


def test_pages_lead_to_the_sign_in_page_and_back(anyone: Client, sample: Sample) -> None:
    User.objects.create_user("ada", password=PASSWORD)
    assert anyone.get("/runs/abc123def456/")["Location"] == "/sign-in/?next=/runs/abc123def456/"
    form = {"username": "ada", "password": "wrong", "next": "/runs/abc123def456/"}
    assert "belong together" in anyone.post("/sign-in/", form).content.decode()
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


@pytest.mark.parametrize("address", ["/", "/sign-in/", "/runs/abc123def456/", "/api/runs/", "/nothing/", "/healthz"])
def test_every_answer_is_hardened(reader: Client, sample: Sample, address: str) -> None:
    response = reader.get(address)
    policy = response["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert response["X-Frame-Options"] == "DENY"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize("address", ["/", "/sign-in/", "/runs/abc123def456/", "/nothing/"])
def test_pages_hold_nothing_inline(reader: Client, sample: Sample, address: str) -> None:
    page = reader.get(address).content.decode()
    scripts = [part.split(">", 1)[0] for part in page.split("<script")[1:]]
    assert all("src=" in script or 'type="application/json"' in script for script in scripts)
    assert "<style" not in page
    assert " style=" not in page
    assert " onclick=" not in page
    assert "https://" not in page.replace("http://www.w3.org", "")


def test_cookies_are_out_of_reach_of_scripts() -> None:
    assert django_settings.SESSION_COOKIE_HTTPONLY
    assert django_settings.CSRF_COOKIE_HTTPONLY
    assert django_settings.SESSION_COOKIE_SAMESITE == "Lax"
