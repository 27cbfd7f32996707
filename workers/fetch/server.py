"""A tracking server as configured: its address and credentials."""

from __future__ import annotations

import base64
import threading
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import unquote, urlsplit, urlunsplit

from workers.errors import TransientError


class GoogleIdentity:
    """Google identity tokens for one server, as Cloud Run requires them.

    Each token is cached until shortly before it expires. google-auth finds the account:
    GOOGLE_APPLICATION_CREDENTIALS, otherwise the machine's own.
    """

    def __init__(self, audience: str) -> None:
        self._audience = audience
        self._credentials: Any = None
        self._lock = threading.Lock()

    def token(self) -> str:
        """A valid token. Raises TransientError if Google gives none."""
        from google.auth.exceptions import GoogleAuthError
        from google.auth.transport.requests import Request
        from google.oauth2 import id_token

        with self._lock:
            try:
                if self._credentials is None:
                    self._credentials = id_token.fetch_id_token_credentials(self._audience, Request())
                if not self._credentials.valid:
                    self._credentials.refresh(Request())
            except GoogleAuthError as error:
                raise TransientError(f"Google gives no identity token for {self._audience}: {error}") from error
            return str(self._credentials.token)


@dataclass(frozen=True)
class TrackingServer:
    """One server that events may name. ``uri`` holds no credentials, so it is safe to show."""

    name: str
    uri: str
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    google: GoogleIdentity | None = field(default=None, repr=False)
    certificate: str | None = None
    """The file of the client's certificate and its key, if the server wants one."""
    database: str | None = field(default=None, repr=False)
    """The address of the server's own database, if runs are to be read there."""

    @classmethod
    def at(cls, name: str, address: str, *, google: bool = False) -> Self:
        """Parse an address, which may hold USER:PASSWORD@ or TOKEN@ with %-escapes.

        ``google`` gets tokens from Google if the address holds no credentials; for https only, because a token is sent
        in the clear.
        """
        scheme, netloc, path, _, _ = urlsplit(address)
        credentials, _, host = netloc.rpartition("@")
        user, colon, password = credentials.partition(":")
        uri = urlunsplit((scheme, host, path.rstrip("/"), "", ""))
        if colon:
            return cls(name, uri, username=unquote(user), password=unquote(password))
        if user:
            return cls(name, uri, token=unquote(user))
        # Cloud Run's audience is the service, without MLflow's path within it.
        return cls(name, uri, google=GoogleIdentity(f"{scheme}://{host}") if google and scheme == "https" else None)

    def authorization(self) -> str | None:
        """The Authorization header; None without credentials. Raises TransientError if Google gives no token."""
        if self.username is not None:
            pair = f"{self.username}:{self.password or ''}".encode()
            return f"Basic {base64.b64encode(pair).decode()}"
        token = self.google.token() if self.google else self.token
        return f"Bearer {token}" if token else None
