"""Readers that signed in, or have a token: who was let in a moment ago need not be looked up again for the next chart.

A page reads several bodies at once, and a live page reads them again and again. Each would cost two queries, several
times the price of the body itself.
"""

from __future__ import annotations

from threading import Lock
from typing import Any

from cachetools import TTLCache
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.db.models.signals import post_delete, post_save
from django.http import HttpRequest

from webapp.tokens.bearer import bearer
from webapp.tokens.models import Token

SECONDS = 1.0
"""So long a session or a token may outlive its end in *another* process of the webapp. In this one it ends at once."""
MOST = 4096


class Readers:
    """Sessions and tokens that were found good, each for some seconds. They open nothing but reads of stored bodies."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._good: TTLCache[str, bool] = TTLCache(MOST, seconds)
        self._lock = Lock()

    def remember(self, request: HttpRequest) -> None:
        """The reader and the user have just been looked up and are good."""
        if reader := credential(request):
            with self._lock:
                # Never prolonged: after its seconds a reader is looked up again, however busy it is.
                self._good.setdefault(reader, True)

    def known(self, request: HttpRequest) -> str | None:
        """The request's credential if it is known to be good."""
        reader = credential(request)
        with self._lock:
            return reader if reader in self._good else None

    def forget(self, **_: Any) -> None:
        """Somebody signed in or out, or an account or a token changed: everybody is looked up again."""
        with self._lock:
            self._good.clear()


def credential(request: HttpRequest) -> str:
    """By what the request asks to be let in: its token or, without one, its session. Empty: by nothing."""
    token = bearer(request)
    return f"Bearer {token}" if token is not None else request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")


readers = Readers()


def watch_accounts() -> None:
    """Called once, when the apps are ready."""
    for signal in (user_logged_in, user_logged_out):
        signal.connect(readers.forget)
    for changed in (post_save, post_delete):
        for sender in (get_user_model(), Token):
            changed.connect(readers.forget, sender=sender)
