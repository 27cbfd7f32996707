"""Readers that signed in, or have a token: who was let in a moment ago need not be looked up again for the next chart.

A page reads several bodies at once, and a live page reads them again and again. Each would cost two queries, and a
third for what may not be shown: several times the price of the body itself.
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
"""So long a session or a token may outlive its end in *another* process of the webapp, and what its reader may see a
change of that. In this one both end at once.
"""
MOST = 4096


class Readers:
    """Sessions and tokens that were found good, with whom they stand for, each for some seconds. They open nothing but
    reads of stored bodies.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        self._good: TTLCache[str | None, Reader] = TTLCache(MOST, seconds)
        self._lock = Lock()

    def remember(self, request: HttpRequest, reader: Reader) -> None:
        """The reader has just been looked up by the request's credential, which is good."""
        if found := credential(request):
            with self._lock:
                # Never prolonged: after its seconds a reader is looked up again, however busy it is.
                self._good.setdefault(found, reader)

    def known(self, found: str) -> Reader | None:
        """Whom the credential stands for, if it is known to be good."""
        with self._lock:
            return self._good.get(found)

    def anybody(self) -> Reader:
        """Who reads without an account."""
        with self._lock:
            # No request's credential is None.
            return self._good.setdefault(None, Reader(AnonymousUser()))

    def forget(self, **_: Any) -> None:
        """Somebody signed in or out, or an account, a token, or who sees what changed: everybody is looked up again."""
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
        for sender in (User, Group, Token, Restriction):
            changed.connect(readers.forget, sender=sender)
    for members in (User.groups.through, Restriction.groups.through):
        m2m_changed.connect(readers.forget, sender=members)
