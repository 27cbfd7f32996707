"""Cache of authenticated readers, so that a chart's request needs no query for its session or token.

A page reads several bodies at once, and a live page reads them again and again. Without the cache each would cost two
queries, and a third for hidden experiments: several times the cost of the body itself.
"""

from __future__ import annotations

from threading import Lock
from typing import Any

from cachetools import TTLCache
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, Group, User
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.db.models.signals import m2m_changed, post_delete, post_save
from django.http import HttpRequest

from webapp.tokens.bearer import bearer
from webapp.tokens.models import Token
from webapp.visibility.models import Restriction
from webapp.visibility.reader import Reader

SECONDS = 1.0
"""Time for which *other* processes may still accept a session or token that has ended, or show a run that is hidden
since. In the process that made the change it applies at once.
"""
MOST = 4096


class Readers:
    """Valid sessions and tokens with their readers, kept for some seconds. They allow only reads of stored bodies."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._good: TTLCache[str | None, Reader] = TTLCache(MOST, seconds)
        self._lock = Lock()

    def remember(self, request: HttpRequest, reader: Reader) -> None:
        """Keep the reader, who has just been authenticated by the request's credential."""
        if found := credential(request):
            with self._lock:
                # Never extended: even a busy reader is authenticated again after these seconds.
                self._good.setdefault(found, reader)

    def known(self, found: str) -> Reader | None:
        """The reader that the credential belongs to; None if it must be checked."""
        with self._lock:
            return self._good.get(found)

    def anybody(self) -> Reader:
        """The reader without an account."""
        with self._lock:
            # None is no request's credential.
            return self._good.setdefault(None, Reader(AnonymousUser()))

    def forget(self, **_: Any) -> None:
        """Drop all readers: someone signed in or out, or an account, a token or a restriction changed."""
        with self._lock:
            self._good.clear()


def credential(request: HttpRequest) -> str:
    """The request's token or, without one, its session; empty if it has neither."""
    token = bearer(request)
    return f"Bearer {token}" if token is not None else request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")


readers = Readers()


def watch_accounts() -> None:
    """Connect the signals. Called once, when the apps are ready."""
    for signal in (user_logged_in, user_logged_out):
        signal.connect(readers.forget)
    for changed in (post_save, post_delete):
        for sender in (User, Group, Token, Restriction):
            changed.connect(readers.forget, sender=sender)
    for members in (User.groups.through, Restriction.groups.through):
        m2m_changed.connect(readers.forget, sender=members)
