"""The fast path admits exactly whom the middleware admits, and answers the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from tests.webapp.samples import Sample
from webapp.access import rate_limit
from webapp.accounts.groups import Role
from webapp.tokens.models import Token
from webapp.visibility.models import Restriction

FAST_PATH = "webapp.access.fast_path.FastPathMiddleware"
OPEN, HIDDEN, UNKNOWN = "09e2a0000003", "5ec2e7a00001", "0b5c02e00002"
COUNTED = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")


@dataclass
class Kind:
    """What a reader sends, and what each of the two runs is to them: ``warm``, ``unknown`` or a status."""

    session: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    loopback_read: bool = False
    peer: str = "127.0.0.1"
    open_run: str | int = "warm"
    hidden_run: str | int = "unknown"

    def client(self) -> Client:
        client = Client(REMOTE_ADDR=self.peer, headers=self.headers)
        if self.session:
            client.cookies[django_settings.SESSION_COOKIE_NAME] = self.session
        return client


def account(*groups: str, **fields: Any) -> User:
    user = User.objects.create_user("ada", **fields)
    for name in groups:
        user.groups.add(Group.objects.get_or_create(name=name)[0])
    return user


def session(user: User) -> str:
    client = Client()
    client.force_login(user)
    return client.cookies[django_settings.SESSION_COOKIE_NAME].value


def bearer(user: User) -> dict[str, str]:
    return {"Authorization": f"Bearer {Token.create(user, 'notebook', 30)[1]}"}


def signed_in(*groups: str, **expected: Any) -> Callable[[], Kind]:
    return lambda: Kind(session(account(*groups)), **expected)


def with_token(*groups: str, **expected: Any) -> Callable[[], Kind]:
    return lambda: Kind(headers=bearer(account(*groups)), **expected)


def administrator() -> Kind:
    return Kind(session(account(is_superuser=True)), hidden_run="warm")


def signed_out() -> Kind:
    client = Client()
    client.force_login(account())
    found = client.cookies[django_settings.SESSION_COOKIE_NAME].value
    client.post("/sign-out/")
    return Kind(found, open_run=401, hidden_run=401)


def disabled(sends: Callable[[User], Kind]) -> Callable[[], Kind]:
    def kind() -> Kind:
        user = account()
        found = sends(user)
        User.objects.filter(pk=user.pk).update(is_active=False)
        return found

    return kind


def ended_token(**change: Any) -> Callable[[], Kind]:
    def kind() -> Kind:
        found = Kind(headers=bearer(account()), open_run=401, hidden_run=401)
        Token.objects.update(**change)
        return found

    return kind


def loopback(**change: Any) -> Callable[[], Kind]:
    return lambda: Kind(loopback_read=True, **change)


UNAUTHENTICATED: dict[str, Any] = {"open_run": 401, "hidden_run": 401}
PAST = timezone.now() - timedelta(days=1)
KINDS: dict[str, Callable[[], Kind]] = {
    "anonymous": lambda: Kind(**UNAUTHENTICATED),
    "made-up session": lambda: Kind("made-up", **UNAUTHENTICATED),
    "no group": signed_in(),
    "viewer": signed_in(Role.VIEWER),
    "editor": signed_in(Role.EDITOR),
    "operator": signed_in(Role.OPERATOR),
    "member of the team": signed_in(Role.VIEWER, "team", hidden_run="warm"),
    "member of another team": signed_in(Role.VIEWER, "others"),
    "administrator": administrator,
    "signed out": signed_out,
    "disabled account": disabled(lambda user: Kind(session(user), **UNAUTHENTICATED)),
    "token": with_token(Role.VIEWER),
    "token of a member": with_token(Role.VIEWER, "team", hidden_run="warm"),
    "token of a disabled account": disabled(lambda user: Kind(headers=bearer(user), **UNAUTHENTICATED)),
    "revoked token": ended_token(revoked_at=PAST),
    "expired token": ended_token(expires_at=PAST),
    "unknown token": lambda: Kind(headers={"Authorization": "Bearer wb_unknown"}, **UNAUTHENTICATED),
    "empty token": lambda: Kind(headers={"Authorization": "Bearer "}, **UNAUTHENTICATED),
    "bad token beside a good session": lambda: Kind(
        session(account()), {"Authorization": "Bearer wb_unknown"}, **UNAUTHENTICATED
    ),
    "another scheme": lambda: Kind(headers={"Authorization": "Basic YTpi"}, **UNAUTHENTICATED),
    "loopback read": loopback(),
    "loopback read over IPv6": loopback(peer="::1"),
    "loopback read, another scheme": loopback(headers={"Authorization": "Basic YTpi"}),
    "loopback read, unknown token": loopback(headers={"Authorization": "Bearer wb_unknown"}, **UNAUTHENTICATED),
    "loopback read, made-up session": loopback(session="made-up"),
    "loopback read, from elsewhere": loopback(peer="10.0.0.7", **UNAUTHENTICATED),
    "loopback read, through a proxy": loopback(headers={"Via": "1.1 proxy"}, **UNAUTHENTICATED),
    "loopback read, member of the team": lambda: Kind(
        session(account("team")), loopback_read=True, hidden_run="warm"
    ),
}  # fmt: skip


@pytest.fixture
def runs(db: None) -> None:
    """Two warm runs, one of them for members of a team."""
    Sample(OPEN).warm()
    Sample(HIDDEN, experiment="secret").warm()
    team, _ = Group.objects.get_or_create(name="team")
    Restriction.objects.create(experiment_name="secret").groups.add(team)


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("name", KINDS)
def test_both_ways_answer_every_kind_of_reader_alike(name: str, settings: Settings) -> None:
    settings.RATE_LIMIT = 1000
    rate_limit._limits.cache_clear()
    kind = KINDS[name]()
    settings.LOOPBACK_READ = kind.loopback_read
    both = kind.client()
    middleware = list(settings.MIDDLEWARE)
    addresses = {run: f"/api/runs/{run}/training-history/" for run in (OPEN, HIDDEN, UNKNOWN)}
    twice = {run: [both.get(address) for _ in range(2)] for run, address in addresses.items()}
    settings.MIDDLEWARE = [one for one in middleware if one != FAST_PATH]
    assert len(settings.MIDDLEWARE) == len(middleware) - 1
    whole = kind.client()
    for run, address in addresses.items():
        expected = said(whole.get(address))
        assert [said(answer) for answer in twice[run]] == [expected] * 2, run
    assert (result(twice[OPEN][1]), result(twice[HIDDEN][1])) == (kind.open_run, kind.hidden_run)
    # The fast path tells only what is left.
    took = {"RateLimit-Limit" not in answers[1] for answers in twice.values()}
    assert took == {isinstance(kind.open_run, str) and name not in NEVER_FAST}


NEVER_FAST = {"loopback read, another scheme"}
"""Its header is looked at every time."""


def said(answer: Any) -> tuple[int, dict[str, str], bytes]:
    headers = {name: value for name, value in answer.headers.items() if name not in COUNTED}
    return answer.status_code, headers, answer.content


def result(answer: Any) -> str | int:
    if answer.status_code != 200:
        return int(answer.status_code)
    return "warm" if answer.json()["available"] else str(answer.json()["state"])
