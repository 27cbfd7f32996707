from __future__ import annotations

import base64
import json

import pytest
import requests

from warmboard.tracking.tokens import IdentityToken, from_gcloud, wants_token

CLOUD = "https://mlflow-abc.run.app"


def token(expiry: float, name: str = "t") -> str:
    payload = base64.urlsafe_b64encode(json.dumps({"exp": expiry, "name": name}).encode()).decode().rstrip("=")
    return f"head.{payload}.signature"


class Source:
    """Hands out its tokens one after the other; without any left it fails, as every source does somewhere."""

    __name__ = "source"

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens)
        self.audiences: list[str] = []

    def __call__(self, audience: str) -> str:
        self.audiences.append(audience)
        if not self.tokens:
            raise OSError("nothing here")
        return self.tokens.pop(0)


@pytest.mark.parametrize(
    ("uri", "wanted"),
    [
        (CLOUD, True),
        ("https://10.0.0.7", True),
        ("http://mlflow.internal:5000", False),
        ("http://127.0.0.1:5000", False),
        ("https://127.0.0.1:5000", False),
        ("https://[::1]:5000", False),
        ("https://localhost", False),
        ("https://mlflow.localhost", False),
    ],
)
def test_only_https_to_other_machines_gets_a_token(uri: str, wanted: bool) -> None:
    assert wants_token(uri) is wanted
    source = Source(token(10_000))
    IdentityToken(uri, [source], clock=lambda: 0.0).token()
    assert bool(source.audiences) is wanted


def test_the_first_source_that_has_one_wins() -> None:
    empty, first, second = Source(), Source(token(10_000, "first")), Source(token(10_000, "second"))
    assert IdentityToken(CLOUD, [empty, first, second], clock=lambda: 0.0).token() == token(10_000, "first")
    assert empty.audiences == [CLOUD]
    assert second.audiences == []


def test_a_token_is_kept_until_shortly_before_it_expires() -> None:
    now = [0.0]
    source = Source(token(3600, "a"), token(7200, "b"))
    identity = IdentityToken(CLOUD, [source], clock=lambda: now[0])
    for moment, name in [(0, "a"), (3299, "a"), (3300, "b"), (3600, "b")]:
        now[0] = moment
        assert identity.token() == token(3600 if name == "a" else 7200, name)
    assert len(source.audiences) == 2


def test_without_any_the_request_carries_none_and_sources_are_left_in_peace() -> None:
    now = [0.0]
    source = Source()
    identity = IdentityToken(CLOUD, [source], clock=lambda: now[0])
    for moment in (0, 1, 599):
        now[0] = moment
        request = identity(requests.Request("GET", CLOUD).prepare())
        assert "Authorization" not in request.headers
    assert len(source.audiences) == 1
    now[0] = 600
    identity.token()
    assert len(source.audiences) == 2


def test_a_token_that_still_holds_is_kept_while_no_new_one_is_to_be_had() -> None:
    now = [0.0]
    source = Source(token(3600, "a"))
    identity = IdentityToken(CLOUD, [source], clock=lambda: now[0])
    for moment, asked in [(0, 1), (3300, 2), (3329, 2), (3330, 3), (3599, 4)]:
        now[0] = moment
        assert identity.token() == token(3600, "a")
        assert len(source.audiences) == asked
    now[0] = 3629
    assert identity.token() is None


@pytest.mark.parametrize("address", ["https://mlflow.example.com", "https://x.run.app.example.com"])
def test_a_user_s_token_of_gcloud_goes_to_cloud_run_alone(address: str) -> None:
    with pytest.raises(PermissionError, match=r"\.run\.app"):
        from_gcloud(address)


def test_the_audience_is_the_service_without_the_path() -> None:
    source = Source(token(10_000))
    IdentityToken(f"{CLOUD}/mlflow", [source], clock=lambda: 0.0).token()
    assert source.audiences == [CLOUD]


@pytest.mark.parametrize("garbage", ["", "None", "a.b.c", "head.e30.signature"])
def test_what_is_no_token_is_not_sent(garbage: str) -> None:
    assert IdentityToken(CLOUD, [Source(garbage)], clock=lambda: 0.0).token() is None


def test_the_header() -> None:
    identity = IdentityToken(CLOUD, [Source(token(10_000))], clock=lambda: 0.0)
    request = identity(requests.Request("GET", CLOUD).prepare())
    assert request.headers["Authorization"] == f"Bearer {token(10_000)}"
