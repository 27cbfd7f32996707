"""OpenID Connect with Google, by Authlib: state, nonce and PKCE are kept in the session, and the answer's signature,
issuer, audience and age are checked. ``identity`` alone goes out, to Google's endpoints for tokens and for keys.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse

from webapp.google_sign_in.endpoints import Endpoints

SECONDS = 5.0
"""So long Google may take for an answer."""
AGAIN = "Go to the sign-in page and begin anew."


class SignInError(Exception):
    """Nobody is signed in; the page says why, with this status, and what to do. ``counts``: as a failed sign-in."""

    def __init__(self, status: int, what: str, advice: str, *, counts: bool = True) -> None:
        super().__init__(what)
        self.status, self.what, self.advice, self.counts = status, what, advice, counts


@dataclass(frozen=True)
class Identity:
    """Whom Google vouches for. ``email`` is theirs, verified, and of a domain that may sign in."""

    subject: str
    email: str


def to_google(request: HttpRequest) -> HttpResponseBase:
    """Leads to Google, and remembers in the session what it must come back with."""
    domains = settings.GOOGLE_DOMAINS
    # Only what Google shows first; what counts is checked when it has answered.
    hint = {"hd": domains[0]} if len(domains) == 1 else {}
    back = request.build_absolute_uri(reverse("google-callback"))
    response: HttpResponseBase = _client().authorize_redirect(request, back, prompt="select_account", **hint)
    return response


def identity(request: HttpRequest) -> Identity:
    """Of the person whom Google has just sent back. Raises SignInError."""
    return _checked(_claims(request))


def _claims(request: HttpRequest) -> dict[str, Any]:
    """What Google's signed answer says. Raises SignInError."""
    import requests
    from authlib.integrations.base_client.errors import MismatchingStateError, OAuthError
    from joserfc.errors import JoseError

    expected = {
        "iss": {"essential": True, "values": list(settings.GOOGLE_ENDPOINTS.issuers)},
        "aud": {"essential": True, "value": settings.GOOGLE_CLIENT_ID},
    }
    try:
        token = _client().authorize_access_token(request, claims_options=expected)
    except MismatchingStateError:
        raise SignInError(400, "This sign-in was not begun in this browser, or is over.", AGAIN, counts=False) from None
    except OAuthError as error:
        raise SignInError(403, f"Google has not signed you in: {_word(error.error)}.", AGAIN) from error
    except JoseError as error:
        raise SignInError(400, "Google's answer is not one that can be trusted.", AGAIN) from error
    except requests.RequestException as error:
        away = "Google can't be asked at the moment."
        raise SignInError(502, away, "Try again, or sign in with a password.", counts=False) from error
    if "userinfo" not in token:
        raise SignInError(400, "Google's answer does not say who you are.", AGAIN)
    return dict(token["userinfo"])


def _checked(claims: dict[str, Any]) -> Identity:
    """Raises SignInError. A private account at Google may have any address; ``hd`` says whose domain manages it."""
    email = str(claims.get("email", "")).lower()
    domains = settings.GOOGLE_DOMAINS
    if claims.get("email_verified") is not True:
        raise SignInError(403, f"Google has not verified the address {email}.", "Verify it at Google, and begin anew.")
    if claims.get("hd") not in domains or email.rpartition("@")[2] not in domains:
        raise SignInError(403, f"{email} is no account of {' or '.join(domains)}.", "Choose another account at Google.")
    return Identity(str(claims["sub"]), email)


def _word(code: Any) -> str:
    """An error code as OAuth has them. What comes by an address may be anybody's text."""
    return code if isinstance(code, str) and re.fullmatch(r"[a-z_]{1,40}", code) else "an error"


def _client() -> Any:
    return _configured(settings.GOOGLE_CLIENT_ID, settings.GOOGLE_CLIENT_SECRET, settings.GOOGLE_ENDPOINTS)


@cache
def _configured(client_id: str, client_secret: str, endpoints: Endpoints) -> Any:
    """It keeps Google's keys, and asks for them anew when an answer is signed by another."""
    # Imported here: where nobody signs in with Google, it would only cost memory.
    from authlib.integrations.django_client import OAuth

    return OAuth().register(
        "google",
        client_id=client_id,
        client_secret=client_secret,
        authorize_url=endpoints.authorize,
        access_token_url=endpoints.token,
        jwks_uri=endpoints.keys,
        id_token_signing_alg_values_supported=["RS256"],
        client_kwargs={"scope": "openid email", "code_challenge_method": "S256", "default_timeout": SECONDS},
    )
