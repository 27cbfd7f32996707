"""A small OpenID Connect server that stands for Google on the wire: it sends people back with a code, and gives for the
code an answer that it has signed. What it says, a test may change.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

from webapp.google_sign_in.endpoints import Endpoints

CLIENT_ID, CLIENT_SECRET = "warmboard.apps.example", "s3cret"
ADA = {"sub": "1001", "email": "ada@example.org", "email_verified": True, "hd": "example.org"}


class Google:
    """``claims``: of the account chosen next. ``refuses``: an error that the browser comes back with. ``fails``: a
    status of the token endpoint. ``tokens`` counts its requests.
    """

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.endpoints = Endpoints(
            f"{self.address}/authorize", f"{self.address}/token", f"{self.address}/keys", (self.address,)
        )
        self.claims: dict[str, Any] = dict(ADA)
        self.refuses = ""
        self.fails = 0
        self.tokens = 0
        self.renew_key()
        self._asked: dict[str, dict[str, str]] = {}

    def renew_key(self) -> None:
        """What is signed from now on is signed by another key, which is among those that are given out."""
        self.kid = f"key {time.monotonic_ns()}"
        self.key = self.given_out = new_key(self.kid)

    def authorize(self, query: dict[str, str]) -> str:
        """Where the browser goes."""
        if self.refuses:
            answer = {"error": self.refuses, "state": query["state"]}
        else:
            code = f"code{len(self._asked)}"
            self._asked[code] = query
            answer = {"code": code, "state": query["state"]}
        return f"{query['redirect_uri']}?{urlencode(answer)}"

    def token(self, authorization: str, form: dict[str, str]) -> dict[str, Any]:
        self.tokens += 1
        asked = self._asked.pop(form.get("code", ""), None)
        secret = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        verifier = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if (
            asked is None
            or authorization != f"Basic {secret}"
            or asked["code_challenge"] != base64.urlsafe_b64encode(verifier).decode().rstrip("=")
            or asked["redirect_uri"] != form.get("redirect_uri")
        ):
            return {"error": "invalid_grant"}
        now = int(time.time())
        standard = {"iss": self.address, "aud": CLIENT_ID, "iat": now, "exp": now + 3600, "nonce": asked["nonce"]}
        header = {"alg": "RS256", "kid": self.kid}
        id_token = jwt.encode(header, standard | self.claims, self.key)
        return {"access_token": "unused", "token_type": "Bearer", "expires_in": 3600, "id_token": id_token}


def new_key(kid: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid, "alg": "RS256", "use": "sig"})


@contextmanager
def google() -> Iterator[Google]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/keys":
                return self._json({"keys": [server.given_out.as_dict(private=False)]})
            self.send_response(302)
            self.send_header("Location", server.authorize(dict(parse_qsl(parts.query))))
            self.end_headers()
            return None

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            answer = server.token(self.headers.get("Authorization", ""), form)
            self._json(answer, server.fails or (400 if "error" in answer else 200))

        def _json(self, document: dict[str, Any], status: int = 200) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, *_: Any) -> None:
            """Nothing: it is the test that tells."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        server = Google(listener.server_address[1])
        Thread(target=listener.serve_forever, daemon=True).start()
        yield server
        listener.shutdown()
