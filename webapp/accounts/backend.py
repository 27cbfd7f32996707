"""Django's users, loaded with what every page needs, in one query."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import Group, User
from django.db.models import Case, CharField, Exists, OuterRef, Value, When

from webapp.accounts.groups import Role
from webapp.visibility.models import Restriction

ADMINISTRATOR = "administrator"


class RoleBackend(ModelBackend):
    """Loads a session's user with two annotations.

    ``role`` is administrator, the highest of the user's groups, or empty. ``restricted`` is whether any experiment is
    restricted.
    """

    def get_user(self, user_id: Any) -> User | None:
        users = User.objects.annotate(role=_role(), restricted=Exists(Restriction.objects.all()))
        user = users.filter(pk=user_id).first()
        return user if user and self.user_can_authenticate(user) else None


def role_of(user: Any) -> str:
    """The user's role; empty if they have not signed in or are in no group."""
    return str(getattr(user, "role", ""))


def _role() -> Case:
    highest_first = [When(_is_in(role), then=Value(role.value)) for role in reversed(Role)]
    administrator = When(is_superuser=True, then=Value(ADMINISTRATOR))
    return Case(administrator, *highest_first, default=Value(""), output_field=CharField())


def _is_in(role: Role) -> Exists:
    return Exists(Group.objects.filter(name=role, user=OuterRef("pk")))
