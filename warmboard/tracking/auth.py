"""The credentials for an MLflow server: a user name and password, a bearer token, or Google's identity tokens."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import requests
from requests.auth import AuthBase, HTTPBasicAuth

from warmboard.contract.settings import SettingError, without_credentials
from warmboard.tracking.tokens import IdentityToken


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
    """Return the configured credentials: user name and password, else the token, else those in ``uri``, else Google's.

    ``uri`` may contain USER:PASSWORD@ or, as a user name alone, TOKEN@, with %-escapes. Raises
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
    # As bytes: requests would encode text as Latin-1, and fail for other characters.
    return HTTPBasicAuth(username.encode(), password.encode())
