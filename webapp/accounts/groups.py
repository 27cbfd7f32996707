"""The three groups and their permissions. Each includes those of the group before it."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from django.contrib.auth.models import Group, Permission
from django.db.models import Q

REQUEST_REPLAY = "operations.request_replay"


class Role(StrEnum):
    VIEWER = "viewer"
    EDITOR = "editor"
    OPERATOR = "operator"


RIGHTS: dict[Role, tuple[str, ...]] = {
    Role.VIEWER: (),
    Role.EDITOR: ("annotations.change_annotation",),
    Role.OPERATOR: ("annotations.change_annotation", REQUEST_REPLAY),
}
"""Permissions of apps that are not installed are ignored."""


def create_groups(**_: Any) -> None:
    """Create the groups after every migration. Permissions that an administrator has added stay."""
    for role, rights in RIGHTS.items():
        group, _new = Group.objects.get_or_create(name=role)
        wanted = Q(pk__in=[])
        for app, _dot, codename in (right.partition(".") for right in rights):
            wanted |= Q(content_type__app_label=app, codename=codename)
        group.permissions.add(*Permission.objects.filter(wanted))
