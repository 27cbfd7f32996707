"""OpenID Connect with Google, by Authlib. State, nonce and PKCE are kept in the session; the answer's signature,
issuer, audience and age are checked. Only ``identity`` makes requests, to Google's endpoints for tokens and keys.
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
"""Timeout of requests to Google."""
AGAIN = "Start again from the sign-in page."


class SignInError(Exception):
    """The sign-in failed. The page shows status, reason and advice; ``counts``: it counts as a failed sign-in."""

    def __init__(self, status: int, what: str, advice: str, *, counts: bool = True) -> None:
        super().__init__(what)
        self.status, self.what, self.advice, self.counts = status, what, advice, counts


@dataclass(frozen=True)
class Identity:
    """A user that Google has authenticated. ``email`` is verified and of an allowed domain."""

    subject: str
    email: str


def to_google(request: HttpRequest) -> HttpResponseBase:
    """Redirect to Google, and keep in the session what its answer must contain."""
    domains = settings.GOOGLE_DOMAINS
    # A hint for Google's account chooser; the domain is checked in its answer.
    hint = {"hd": domains[0]} if len(domains) == 1 else {}
    back = request.build_absolute_uri(reverse("google-callback"))
    response: HttpResponseBase = _client().authorize_redirect(request, back, prompt="select_account", **hint)
    return response


def identity(request: HttpRequest) -> Identity:
    """The identity in Google's answer. Raises SignInError."""
    return _checked(_claims(request))


def _claims(request: HttpRequest) -> dict[str, Any]:
    """The claims of Google's signed answer. Raises SignInError."""
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
        raise SignInError(
            400, "This sign-in was not started in this browser, or has expired.", AGAIN, counts=False
        ) from None
    except OAuthError as error:
        raise SignInError(403, f"Google did not sign you in: {_word(error.error)}.", AGAIN) from error
    except JoseError as error:
        raise SignInError(400, "Google's answer can't be verified.", AGAIN) from error
    except requests.RequestException as error:
        down = "Google is unreachable."
        raise SignInError(502, down, "Try again, or sign in with a password.", counts=False) from error
    if "userinfo" not in token:
        raise SignInError(400, "Google's answer contains no user.", AGAIN)
    return dict(token["userinfo"])


def _checked(claims: dict[str, Any]) -> Identity:
    """The identity in the claims. Private Google accounts may have any address; ``hd`` is the domain that manages one.

    Raises SignInError if the address is not verified or of another domain.
    """
    email = str(claims.get("email", "")).lower()
    domains = settings.GOOGLE_DOMAINS
    if claims.get("email_verified") is not True:
        raise SignInError(403, f"Google has not verified the address {email}.", "Verify it at Google, then retry.")
    if claims.get("hd") not in domains or email.rpartition("@")[2] not in domains:
        raise SignInError(403, f"{email} is not an account of {' or '.join(domains)}.", "Choose another account.")
    return Identity(str(claims["sub"]), email)


def _word(code: Any) -> str:
    """The error code, if it looks like one of OAuth's: the text of a query parameter can be anything."""
    return code if isinstance(code, str) and re.fullmatch(r"[a-z_]{1,40}", code) else "an error"


def _client() -> Any:
    return _configured(settings.GOOGLE_CLIENT_ID, settings.GOOGLE_CLIENT_SECRET, settings.GOOGLE_ENDPOINTS)


@cache
def _configured(client_id: str, client_secret: str, endpoints: Endpoints) -> Any:
    """The client. It caches Google's keys, and fetches them again if an answer is signed with another."""
    # Imported here: it costs memory, and is needed only for sign-in with Google.
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
