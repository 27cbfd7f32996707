"""``python -m webapp manage account NAME``: create or change an account; without a name, list all accounts."""

from __future__ import annotations

import getpass
import sys
from typing import Any

from django.contrib.auth.models import Group, User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.db.models import Count, Q

from webapp.accounts import audit
from webapp.accounts.groups import Role
from webapp.tokens.models import Token


class Command(BaseCommand):
    help = (
        "Create an account, or change one: its groups and, with --password, its password. The password is prompted for "
        "on a terminal, and otherwise read from one line of standard input. Without a name, list all accounts."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", nargs="?", help="user name to sign in with")
        parser.add_argument("--group", choices=[role.value for role in Role], help="role; viewer for a new account")
        parser.add_argument("--join", metavar="TEAM", help="add to a group that sees restricted experiments")
        parser.add_argument("--leave", metavar="TEAM", help="remove from such a group")
        parser.add_argument("--password", action="store_true", help="set a new password of an existing account")
        parser.add_argument("--revoke-tokens", action="store_true", help="revoke all tokens of the account")
        closing = parser.add_mutually_exclusive_group()
        closing.add_argument("--close", action="store_true", help="disable the account and end its sessions")
        closing.add_argument("--reopen", action="store_true", help="enable a closed account; its tokens stay revoked")

    def handle(
        self,
        *_: Any,
        name: str | None,
        group: str | None,
        join: str | None,
        leave: str | None,
        password: bool,
        revoke_tokens: bool,
        close: bool,
        reopen: bool,
        **__: Any,
    ) -> None:
        if name is None:
            if group or join or leave or password or revoke_tokens or close or reopen:
                raise CommandError("Missing account name.")
            return self._list()
        joined, left = _team(join), _team(leave)
        user = User.objects.filter(username=name).first()
        new = user is None
        if new and (close or reopen or revoke_tokens):
            raise CommandError(f"There is no account {name!r}. `manage account` lists all accounts.")
        user = user or User(username=name)
        if new or password:
            self._set_password(user)
        with transaction.atomic():
            user.is_active = reopen or (user.is_active and not close)
            user.save()
            if new or group:
                self._move(user, group or Role.VIEWER)
            user.groups.add(*joined)
            user.groups.remove(*left)
            revoked = self._revoke_tokens(user) if close or revoke_tokens else ""
            is_now = f"{_groups(user)}{revoked}{'' if user.is_active else '; closed'}"
            audit.note("account", f"account {name}", is_now)
        self.stdout.write(f"{'created' if new else 'changed'} account {name}: {is_now}")
        return None

    def _list(self) -> None:
        good = Count("tokens", filter=Q(tokens__revoked_at=None))
        for user in User.objects.order_by("username").prefetch_related("groups").annotate(good_tokens=good):
            role = "administrator" if user.is_superuser else _groups(user)
            seen = f"signed in {user.last_login:%Y-%m-%d}" if user.last_login else "never signed in"
            closed = "" if user.is_active else "; closed"
            self.stdout.write(f"{user.username}: {role}; {seen}; {_tokens(user.good_tokens)}{closed}")

    @staticmethod
    def _revoke_tokens(user: User) -> str:
        tokens = list(Token.objects.filter(user=user, revoked_at=None))
        for token in tokens:
            token.revoke()
        return f"; {_tokens(len(tokens))} revoked"

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
        if password != getpass.getpass("Password (again): "):
            raise CommandError("The passwords do not match.")
        return password

    @staticmethod
    def _move(user: User, group: str) -> None:
        """Put the user into that role's group and out of the other roles'."""
        user.groups.remove(*Group.objects.filter(name__in=list(Role)))
        user.groups.add(Group.objects.get(name=group))


def _groups(user: User) -> str:
    return ", ".join(sorted(group.name for group in user.groups.all())) or "in no group"


def _tokens(count: int) -> str:
    return f"{count} token{'' if count == 1 else 's'}"


def _team(name: str | None) -> list[Group]:
    """The group of this name; empty without a name. Raises CommandError if it does not exist or is a role."""
    if name is None:
        return []
    if name in list(Role):
        raise CommandError(f"{name} is a role: use --group {name}")
    found = list(Group.objects.filter(name=name))
    if not found:
        raise CommandError(f"There is no group {name!r}. `manage visibility EXPERIMENT --only-for {name}` creates it.")
    return found
