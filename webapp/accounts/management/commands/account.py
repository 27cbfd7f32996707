"""``python -m webapp manage account NAME``: makes an account, or changes one."""

from __future__ import annotations

import getpass
import sys
from typing import Any

from django.contrib.auth.models import Group, User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from webapp.accounts import audit
from webapp.accounts.groups import Role


class Command(BaseCommand):
    help = (
        "Makes an account, or changes the one of that name: its groups, and with --password its password. The password "
        "is asked for on a terminal, and else read from standard input: one line."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="what the person signs in with")
        parser.add_argument("--group", choices=[role.value for role in Role], help="a new account: viewer by default")
        parser.add_argument("--join", metavar="TEAM", help="another group, which sees an experiment")
        parser.add_argument("--leave", metavar="TEAM", help="such a group that the account is in")
        parser.add_argument("--password", action="store_true", help="also a new password, if the account exists")

    def handle(
        self,
        *_: Any,
        name: str,
        group: str | None,
        join: str | None,
        leave: str | None,
        password: bool,
        **__: Any,
    ) -> None:
        joined, left = _team(join), _team(leave)
        user = User.objects.filter(username=name).first()
        new = user is None
        user = user or User(username=name)
        if new or password:
            self._set_password(user)
        with transaction.atomic():
            user.save()
            if new or group:
                self._move(user, group or Role.VIEWER)
            user.groups.add(*joined)
            user.groups.remove(*left)
            groups = ", ".join(user.groups.order_by("name").values_list("name", flat=True)) or "in no group"
            audit.note("account", f"account {name}", groups)
        self.stdout.write(f"{'made' if new else 'changed'} account {name}: {groups}")

    def _set_password(self, user: User) -> None:
        password = self._read()
        try:
            user.full_clean(exclude=["password"])
            validate_password(password, user)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        user.set_password(password)

    def _read(self) -> str:
        if not sys.stdin.isatty():
            return sys.stdin.readline().rstrip("\r\n")
        password = getpass.getpass("Password: ")
        if password != getpass.getpass("Once more: "):
            raise CommandError("These are two different passwords.")
        return password

    @staticmethod
    def _move(user: User, group: str) -> None:
        """Into that group, and out of our others."""
        user.groups.remove(*Group.objects.filter(name__in=list(Role)))
        user.groups.add(Group.objects.get(name=group))


def _team(name: str | None) -> list[Group]:
    """The group of this name, which there is; none without a name. Raises CommandError."""
    if name is None:
        return []
    if name in list(Role):
        raise CommandError(f"{name} is a role: --group {name}")
    found = list(Group.objects.filter(name=name))
    if not found:
        raise CommandError(f"There is no group {name!r}. `manage visibility EXPERIMENT --only-for {name}` makes it.")
    return found
