"""Authentication by ``Authorization: Bearer …`` (RFC 6750)."""

from __future__ import annotations

from django.http import HttpRequest

from webapp.tokens.models import PREFIX, Token


class BadToken(Exception):
    """The token is invalid. The text says why; it never contains the token."""


def bearer(request: HttpRequest) -> str | None:
    """The request's token, or None. Other schemes are left to proxies."""
    header: str = request.META.get("HTTP_AUTHORIZATION", "")
    if header[:7].lower() != "bearer ":
        return None
    return header[7:].strip()


def check(text: str) -> Token:
    """The row of a valid token, whose use is recorded. Raises BadToken."""
    token = Token.find(text) if text.startswith(PREFIX) else None
    if token is None:
        raise BadToken("The token is unknown.")
    if token.revoked_at:
        raise BadToken("The token has been revoked.")
    if token.has_expired():
        raise BadToken("The token has expired.")
    if not token.user.is_active:
        raise BadToken("The token's user may no longer sign in.")
    token.note_use()
    return token
