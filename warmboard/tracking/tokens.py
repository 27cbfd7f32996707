"""Who we are to an MLflow server: a user with a password, a token, or one of Google's identities, as Cloud Run wants.

Identity tokens are tried in order from google-auth's default credentials, the metadata server, the gcloud command. One
is kept until shortly before it expires. Where none can be had, requests go out without one, and no source is asked
again for a while.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import logging
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from urllib.parse import unquote, urlsplit

import requests
from requests.auth import AuthBase, HTTPBasicAuth

from warmboard.contract.settings import SettingError, without_credentials

log = logging.getLogger(__name__)

REFRESH_BEFORE_EXPIRY_SECONDS = 300
ASK_AGAIN_SECONDS = 600
ASK_AGAIN_SOON_SECONDS = 30
METADATA = "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/identity"

CLOUD_RUN = ".run.app"

Source = Callable[[str], str]
"""Takes the audience and returns a token; raises anything when it can't."""


class BearerToken(AuthBase):
    """Puts a configured token on requests."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def credentials(
    uri: str, username: str | None = None, password: str | None = None, token: str | None = None
) -> AuthBase:
    """What is configured, in this order: user name and password, token, what ``uri`` holds, Google's identity.

    ``uri`` may hold USER:PASSWORD@ or, as a user name alone, TOKEN@, with %-escapes. Raises
    warmboard.contract.settings.SettingError for a user name without a password, or the other way round.
    """
    if bool(username) != bool(password):
        missing, given = ("PASSWORD", "USERNAME") if username else ("USERNAME", "PASSWORD")
        raise SettingError(
            f"MLFLOW_TRACKING_{missing} is not set, though MLFLOW_TRACKING_{given} is: they work together only."
        )
    if username and password:
        return _basic(username, password)
    if token:
        return BearerToken(token)
    parts = urlsplit(uri)
    if parts.password is not None:
        return _basic(unquote(parts.username or ""), unquote(parts.password))
    return BearerToken(unquote(parts.username)) if parts.username else IdentityToken(without_credentials(uri))


def _basic(username: str, password: str) -> AuthBase:
    # As bytes: requests would encode text as Latin-1, and fail for others.
    return HTTPBasicAuth(username.encode(), password.encode())


def wants_token(uri: str) -> bool:
    """Only https addresses of other machines: a token must not travel in clear, and this machine needs none."""
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


def from_metadata_server(audience: str) -> str:
    answer = requests.get(
        METADATA, params={"audience": audience}, headers={"Metadata-Flavor": "Google"}, timeout=2, allow_redirects=False
    )
    answer.raise_for_status()
    return answer.text.strip()


def from_gcloud(audience: str) -> str:
    # Without --audiences: user accounts, for whom this source is, may not set it. Such a token opens every service that
    # its user may call, so it goes to Google's own addresses alone.
    if not audience.endswith(CLOUD_RUN):
        raise PermissionError(f"{audience} is not on Cloud Run's {CLOUD_RUN}")
    gcloud = shutil.which("gcloud")
    if gcloud is None:
        raise FileNotFoundError("no gcloud command")
    answer = subprocess.run([gcloud, "auth", "print-identity-token"], capture_output=True, text=True, timeout=20)
    answer.check_returncode()
    return answer.stdout.strip()


SOURCES: tuple[Source, ...] = (from_google_auth, from_metadata_server, from_gcloud)


class IdentityToken(AuthBase):
    """Puts ``Authorization: Bearer …`` on requests, when the tracking server wants it and a token is to be had."""

    def __init__(self, uri: str, sources: Sequence[Source] = SOURCES, clock: Callable[[], float] = time.time) -> None:
        # Cloud Run's audience is the service, whatever path MLflow has within it.
        parts = urlsplit(uri)
        self._audience = f"{parts.scheme}://{parts.netloc}" if wants_token(uri) else None
        self._sources = sources
        self._clock = clock
        self._lock = threading.Lock()
        self._token: str | None = None
        self._expires = 0.0
        self._ask_after = 0.0

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        token = self.token()
        if token:
            request.headers["Authorization"] = f"Bearer {token}"
        return request

    def token(self) -> str | None:
        """The token to use now, or None."""
        if self._audience is None:
            return None
        with self._lock:
            if self._clock() >= self._ask_after:
                self._renew(self._audience)
            return self._token

    def _renew(self, audience: str) -> None:
        now = self._clock()
        for source in self._sources:
            try:
                token = source(audience)
                self._expires = _expiry(token)
            except Exception as error:  # noqa: BLE001 - each source fails in its own ways, and the next may work
                log.debug("no identity token %s: %s", source.__name__, error)
                continue
            self._token, self._ask_after = token, self._expires - REFRESH_BEFORE_EXPIRY_SECONDS
            return
        if self._token and now < self._expires:
            self._ask_after = now + ASK_AGAIN_SOON_SECONDS
            return
        log.info("No identity token was found; requests to %s go without one.", audience)
        self._token, self._ask_after = None, now + ASK_AGAIN_SECONDS


def _expiry(token: str) -> float:
    """The ``exp`` claim of a JSON Web Token, in seconds since 1970. Raises ValueError for anything else."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"])
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise ValueError("not a JSON Web Token with an expiry") from error
