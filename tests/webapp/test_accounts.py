"""Groups, accounts, sign-ins that fail, and the log of what was done."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.management import CommandError, call_command
from django.http import HttpRequest
from django.test import Client, RequestFactory
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from webapp.accounts import audit, throttle
from webapp.accounts.groups import create_groups
from webapp.accounts.models import AppendOnlyError, AuditRecord, FailedSignIn
from webapp.tokens.models import Token

PASSWORD = "correct horse battery"  # noqa: S105 - of this test's users


def account(*arguments: str, password: str = PASSWORD, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
    said = io.StringIO()
    call_command("account", *arguments, stdout=said)
    return said.getvalue()


def sign_in(client: Client, password: str = PASSWORD, name: str = "ada", address: str = "127.0.0.1") -> int:
    return client.post("/sign-in/", {"username": name, "password": password}, REMOTE_ADDR=address).status_code


def test_groups_are_there_after_migrating_and_can_be_made_again(db: None) -> None:
    extra = Permission.objects.exclude(codename="request_replay").first()
    assert extra
    Group.objects.get(name="viewer").permissions.add(extra)
    create_groups()
    rights = {group.name: {right.codename for right in group.permissions.all()} for group in Group.objects.all()}
    assert rights.keys() == {"viewer", "editor", "operator"}
    assert "request_replay" in rights["operator"]
    assert "request_replay" not in rights["editor"] | rights["viewer"]
    assert rights["viewer"] == {extra.codename}, "what somebody has added stays"


def test_an_account_is_made_with_a_password_from_standard_input(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert account("ada", "--group=operator", monkeypatch=monkeypatch) == "created account ada: operator\n"
    user = User.objects.get()
    assert user.check_password(PASSWORD)
    assert user.password.startswith("scrypt$")
    assert user.has_perm("operations.request_replay")
    assert not user.is_staff


def test_an_account_moves_between_groups_and_keeps_its_password(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    account("ada", "--group=operator", monkeypatch=monkeypatch)
    User.objects.get().groups.add(Group.objects.create(name="of the product"))
    said = account("ada", "--group=viewer", password="other words here", monkeypatch=monkeypatch)  # noqa: S106
    assert said.startswith("changed account ada: ")
    user = User.objects.get()
    assert {group.name for group in user.groups.all()} == {"viewer", "of the product"}
    assert user.check_password(PASSWORD)
    account("ada", "--password", password="other words here", monkeypatch=monkeypatch)  # noqa: S106
    assert User.objects.get().check_password("other words here")


@pytest.mark.parametrize(
    ("name", "password", "says"),
    [("ada", "short", "too short"), ("ada", "", "too short"), ("ada", "password1234", "too common"),
     ("no name", PASSWORD, "valid username"), ("x" * 151, PASSWORD, "150")],
)  # fmt: skip
def test_an_account_that_would_be_weak_is_not_made(
    db: None, monkeypatch: pytest.MonkeyPatch, name: str, password: str, says: str
) -> None:
    with pytest.raises(CommandError, match=says):
        account(name, password=password, monkeypatch=monkeypatch)
    assert not User.objects.exists()


def test_pages_say_who_one_is_and_in_which_role(
    anyone: Client, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    account("ada", "--group=editor", monkeypatch=monkeypatch)
    sign_in(anyone)
    page = anyone.get("/").content.decode()
    assert 'title="Your tokens">ada</a>' in page
    assert '<span class="role">editor</span>' in page
    User.objects.get().groups.clear()
    assert 'class="role"' not in anyone.get("/").content.decode()
    with django_assert_num_queries(2):
        anyone.get("/nothing/")


def test_an_account_that_is_closed_is_signed_out(anyone: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    account("ada", monkeypatch=monkeypatch)
    sign_in(anyone)
    assert anyone.get("/").status_code == 200
    _, text = Token.create(User.objects.get(), "notebook", None)
    said = account("ada", "--close", monkeypatch=monkeypatch)
    assert said == "changed account ada: viewer; 1 token revoked; closed\n"
    assert anyone.get("/").status_code == 302
    assert sign_in(Client()) == 200, "the page says that it is wrong"
    assert anyone.get("/api/runs/", headers={"Authorization": f"Bearer {text}"}).status_code == 401
    assert account(monkeypatch=monkeypatch).endswith("; 0 tokens; closed\n")
    account("ada", "--reopen", monkeypatch=monkeypatch)
    assert sign_in(Client()) == 302


def test_a_leaked_token_ends_and_the_account_goes_on(anyone: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    account("ada", monkeypatch=monkeypatch)
    _, text = Token.create(User.objects.get(), "notebook", None)
    assert account("ada", "--revoke-tokens", monkeypatch=monkeypatch).endswith("; 1 token revoked\n")
    assert anyone.get("/api/runs/", headers={"Authorization": f"Bearer {text}"}).status_code == 401
    assert sign_in(anyone) == 302
    with pytest.raises(CommandError, match="no account 'bob'"):
        account("bob", "--close", monkeypatch=monkeypatch)
    with pytest.raises(CommandError, match="Missing account name"):
        account("--revoke-tokens", monkeypatch=monkeypatch)


def test_after_some_wrong_passwords_the_right_one_is_refused_too(
    anyone: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    account("ada", monkeypatch=monkeypatch)
    assert [sign_in(anyone, "wrong") for _ in range(throttle.MOST_OF_BOTH)] == [200] * throttle.MOST_OF_BOTH
    refused = anyone.post("/sign-in/", {"username": "ada", "password": PASSWORD})
    assert (refused.status_code, refused["Retry-After"]) == (429, "900")
    assert "Try again in 15 minutes" in refused.content.decode()
    assert sign_in(Client(), PASSWORD, address="10.0.0.9") == 302, "she may be elsewhere"
    FailedSignIn.objects.update(at=timezone.now() - throttle.WINDOW)
    assert sign_in(anyone) == 302


def test_the_right_password_resets_the_count(anyone: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    account("ada", monkeypatch=monkeypatch)
    for _ in range(2):
        for _ in range(throttle.MOST_OF_BOTH - 1):
            sign_in(anyone, "wrong")
        assert sign_in(anyone) == 302


def test_many_names_from_one_address_and_one_name_from_many_are_noticed(db: None) -> None:
    for number in range(throttle.MOST_OF_ADDRESS):
        assert not throttle.exhausted("new", "10.0.0.1")
        throttle.failed(f"name{number}", "10.0.0.1")
    assert throttle.exhausted("new", "10.0.0.1")
    for number in range(throttle.MOST_OF_NAME):
        throttle.failed("ada", f"10.1.0.{number}")
    assert throttle.exhausted("ada", "10.2.0.1")
    assert not throttle.exhausted("bob", "10.2.0.1")


def test_failures_are_forgotten(db: None) -> None:
    throttle.failed("ada", "10.0.0.1")
    FailedSignIn.objects.update(at=timezone.now() - throttle.WINDOW - timedelta(seconds=1))
    throttle.failed("bob", "10.0.0.1")
    assert [failure.name for failure in FailedSignIn.objects.all()] == ["bob"]


@pytest.mark.parametrize("name", ["\0", "x" * 500, "", "Ada\U0001f600"])
def test_odd_names_fail_as_others_do(anyone: Client, name: str) -> None:
    assert sign_in(anyone, "wrong", name=name) == 200


def test_where_a_request_comes_from(settings: Settings) -> None:
    def of(**meta: str) -> str:
        request = RequestFactory().get("/", REMOTE_ADDR="10.0.0.1")
        request.META |= meta
        return throttle.address_of(request)

    forwarded = {"HTTP_X_FORWARDED_FOR": "6.6.6.6, 203.0.113.7, 198.51.100.1"}
    # Behind a proxy that ends TLS, but is not said to be trusted: the header may be the client's.
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    for trusted, expected in enumerate(["10.0.0.1", "198.51.100.1", "203.0.113.7", "6.6.6.6", "10.0.0.1"]):
        settings.TRUSTED_PROXIES = trusted
        assert of(**forwarded) == expected
        assert of() == of(HTTP_X_FORWARDED_FOR=" ") == "10.0.0.1"


def test_the_audit_log_is_only_added_to(db: None) -> None:
    request = HttpRequest()
    request.user = User.objects.create_user("ada")
    record = audit.record(request, "edit", "run a1", "tags: x")
    assert audit.newest(5) == [record]
    record.outcome = "never happened"
    for change in (record.save, record.delete, AuditRecord.objects.all().delete):
        with pytest.raises(AppendOnlyError):
            change()
    with pytest.raises(AppendOnlyError):
        AuditRecord.objects.update(who="bob")
    request.user.delete()
    assert list(AuditRecord.objects.values_list("who", "action", "outcome")) == [("ada", "edit", "done")]
