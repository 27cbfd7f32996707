"""Views that need a permission."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase

from webapp.access.middleware import is_api, not_signed_in, page_of, reads_from_loopback
from webapp.accounts.groups import Role
from webapp.visibility.reader import reader_of

View = Callable[..., HttpResponseBase]


class NeedsRole(PermissionDenied):
    """The account lacks the permission; ``errors.forbidden`` makes the response."""

    def __init__(self, role: Role) -> None:
        super().__init__(f"This needs the group {role}.")
        self.role = role


def needs(permission: str, role: Role, *, open_to_loopback: bool = False) -> Callable[[View], View]:
    """Require the permission, which members of the group ``role`` have.

    ``open_to_loopback`` also admits requests without an account where WEBAPP_LOOPBACK_READ does, unless an experiment
    is hidden from them. A signed-in user needs the permission wherever the request comes from.
    """

    def guard(view: View) -> View:
        @wraps(view)
        def answer(request: HttpRequest, *args: Any, **parts: Any) -> HttpResponseBase:
            if request.user.has_perm(permission):
                return view(request, *args, **parts)
            if request.user.is_authenticated:
                raise NeedsRole(role)
            if open_to_loopback and reads_from_loopback(request) and not reader_of(request).hidden:
                return view(request, *args, **parts)
            return not_signed_in() if is_api(request) else redirect_to_login(page_of(request))

        return answer

    return guard
