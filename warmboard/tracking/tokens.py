"""Google's identity tokens, which an MLflow on Cloud Run wants.

google-auth finds the account: a service account's file in GOOGLE_APPLICATION_CREDENTIALS, else the metadata server of
the machine. Where it finds none, the gcloud command is tried. Without any of them, requests carry no token.
"""

from __future__ import annotations

import ipaddress
import logging
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

log = logging.getLogger(__name__)

REFRESH_BEFORE_EXPIRY_SECONDS = 300
RETRY_SECONDS = 600
RETRY_WHILE_VALID_SECONDS = 30
CLOUD_RUN = ".run.app"

Source = Callable[[str], str]
"""Takes the audience and returns a token. Raises any exception if it has none."""


def wants_token(uri: str) -> bool:
    """Return True for https addresses of other machines.

    A token must not travel unencrypted, and a server on this machine needs none.
    """
    parts = urlsplit(uri)
    if parts.scheme != "https" or not parts.hostname:
        return False
    try:
        return not ipaddress.ip_address(parts.hostname).is_loopback
    except ValueError:
        return parts.hostname != "localhost" and not parts.hostname.endswith(".localhost")


def from_google_auth(audience: str) -> str:
    from google.auth.transport.requests import Request
    from google.oauth2 import id_token

    return str(id_token.fetch_id_token(Request(), audience))


def from_gcloud(audience: str) -> str:
    # gcloud takes no --audiences for user accounts. Such a token opens every service that the user may call, so it is
    # sent to Google's own addresses only.
    if not audience.endswith(CLOUD_RUN):
        raise PermissionError(f"{audience} is not on Cloud Run's {CLOUD_RUN}")
    gcloud = shutil.which("gcloud")
    if gcloud is None:
        raise FileNotFoundError("no gcloud command")
    answer = subprocess.run([gcloud, "auth", "print-identity-token"], capture_output=True, text=True, timeout=20)
    answer.check_returncode()
    return answer.stdout.strip()


SOURCES: tuple[Source, ...] = (from_google_auth, from_gcloud)


class IdentityToken(AuthBase):
    """Puts ``Authorization: Bearer …`` on requests if the server wants a token and a source has one.

    A token is kept until 5 minutes before it expires. While no source has a new one, the old one is used until it
    expires. Without any token, the sources are tried again after 10 minutes.
    """

    def __init__(self, uri: str, sources: Sequence[Source] = SOURCES, clock: Callable[[], float] = time.time) -> None:
        # Cloud Run's audience is the service, without the path of MLflow in it.
        parts = urlsplit(uri)
        self._audience = f"{parts.scheme}://{parts.netloc}" if wants_token(uri) else None
        self._sources = sources
        self._clock = clock
        self._lock = threading.Lock()
        self._token: str | None = None
        self._expires = 0.0
        self._refresh_at = 0.0

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if token := self.token():
            request.headers["Authorization"] = f"Bearer {token}"
        return request

    def token(self) -> str | None:
        """Return the token to use now, or None."""
        if self._audience is None:
            return None
        with self._lock:
            if self._clock() >= self._refresh_at:
                self._refresh(self._audience)
            return self._token

    def _refresh(self, audience: str) -> None:
        from google.auth import jwt

        now = self._clock()
        for source in self._sources:
            try:
                token = source(audience)
                self._expires = float(jwt.decode(token, verify=False)["exp"])
            except Exception as error:  # noqa: BLE001 - each source raises errors of its own, and the next may work
                log.debug("no identity token %s: %s", source.__name__, error)
                continue
            self._token, self._refresh_at = token, self._expires - REFRESH_BEFORE_EXPIRY_SECONDS
            return
        if self._token and now < self._expires:
            self._refresh_at = now + RETRY_WHILE_VALID_SECONDS
            return
        log.info("No identity token was found. Requests to %s are sent without one.", audience)
        self._token, self._refresh_at = None, now + RETRY_SECONDS
