"""Readers that signed in: who was let in a moment ago need not be looked up again for the next chart.

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

SECONDS = 1.0
"""So long a session may outlive its end in *another* process of the webapp. In this one it ends at once."""
MOST = 4096


class Readers:
    """Session cookies that were found good, each for some seconds. They open nothing but reads of stored bodies."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._good: TTLCache[str, bool] = TTLCache(MOST, seconds)
        self._lock = Lock()

    def remember(self, request: HttpRequest) -> None:
        """The session and its user have just been looked up and are good."""
        if session := self._session(request):
            with self._lock:
                # Never prolonged: after its seconds a session is looked up again, however busy it is.
                self._good.setdefault(session, True)

    def knows(self, request: HttpRequest) -> bool:
        session = self._session(request)
        if not session:
            return False
        with self._lock:
            return session in self._good

    def forget(self, **_: Any) -> None:
        """Somebody signed in or out, or an account changed: everybody is looked up again."""
        with self._lock:
            self._good.clear()

    @staticmethod
    def _session(request: HttpRequest) -> str:
        return request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")


readers = Readers()


def watch_accounts() -> None:
    """Called once, when the apps are ready."""
    for signal in (user_logged_in, user_logged_out):
        signal.connect(readers.forget)
    for changed in (post_save, post_delete):
        changed.connect(readers.forget, sender=get_user_model())
