"""Identity tokens: where they come from, how long they are kept, and which servers get one."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from tests.environment import GIVEN
from tests.paths import ROOT
from warmboard.tracking.tokens import SOURCES, IdentityToken, from_gcloud, from_google_auth, wants_token

CLOUD = "https://mlflow-abc.run.app"


def token(expiry: float, name: str = "t") -> str:
    parts = [{"alg": "RS256"}, {"exp": expiry, "name": name}]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return f"{encoded[0]}.{encoded[1]}.c2lnbmF0dXJl"


class Source:
    """Returns its tokens one after the other. Without any left it raises an error, as real sources do."""

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


def test_the_first_source_with_a_token_is_used() -> None:
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


def test_without_a_token_sources_are_asked_again_after_ten_minutes() -> None:
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


def test_a_valid_token_is_kept_while_no_source_has_a_new_one() -> None:
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
def test_gclouds_token_is_sent_to_cloud_run_only(address: str) -> None:
    with pytest.raises(PermissionError, match=r"\.run\.app"):
        from_gcloud(address)


def test_the_audience_is_the_service_without_the_path() -> None:
    source = Source(token(10_000))
    IdentityToken(f"{CLOUD}/mlflow", [source], clock=lambda: 0.0).token()
    assert source.audiences == [CLOUD]


@pytest.mark.parametrize("garbage", ["", "None", "a.b.c", "e30.e30.c2ln", token(0).replace("eyJleHAi", "eyJleHAj")])
def test_an_invalid_token_is_not_sent(garbage: str) -> None:
    assert IdentityToken(CLOUD, [Source(garbage)], clock=lambda: 0.0).token() is None


def test_the_header() -> None:
    identity = IdentityToken(CLOUD, [Source(token(10_000))], clock=lambda: 0.0)
    request = identity(requests.Request("GET", CLOUD).prepare())
    assert request.headers["Authorization"] == f"Bearer {token(10_000)}"


class _Metadata(BaseHTTPRequestHandler):
    """The parts of Google's metadata server that google-auth uses."""

    audiences: list[str] = []

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        body, kind = b"{}", "application/json"
        if asked.path.endswith("/identity"):
            self.audiences.extend(parse_qs(asked.query)["audience"])
            body, kind = token(10_000, "machine").encode(), "text/html"
        elif asked.path.endswith("/service-accounts/default/"):
            body = b'{"email": "machine@example.com", "scopes": [], "aliases": []}'
        self.send_response(200)
        self.send_header("Metadata-Flavor", "Google")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def metadata() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Metadata)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_google_auth_is_tried_before_gcloud() -> None:
    assert (from_google_auth, from_gcloud) == SOURCES


def test_google_auth_asks_the_metadata_server(metadata: str) -> None:
    code = (
        "from warmboard.tracking.tokens import IdentityToken\n"
        f"print(IdentityToken({CLOUD!r}, clock=lambda: 0.0).token())"
    )
    # google-auth reads these when it is imported.
    environ = {**GIVEN, "PYTHONPATH": str(ROOT), "GCE_METADATA_HOST": metadata, "GCE_METADATA_IP": metadata}
    environ.pop("GOOGLE_APPLICATION_CREDENTIALS", None)
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == token(10_000, "machine")
    assert _Metadata.audiences == [CLOUD]


def test_gcloud_gives_the_token_of_its_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gcloud = tmp_path / "gcloud"
    gcloud.write_text(f'#!/bin/sh\ntest "$*" = "auth print-identity-token" && echo {token(10_000, "user")}\n')
    gcloud.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert from_gcloud(CLOUD) == token(10_000, "user")
