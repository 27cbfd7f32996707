"""The webapp's own role in PostgreSQL: whatever the webapp does works with it, and it can't write the store."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.db.utils import ProgrammingError
from django.test import Client
from pytest_django import Settings

import webapp.urls
from tests.warmboard.servers import pubsub_server
from tests.webapp.access.test_no_outgoing import read_everything
from tests.webapp.samples import Sample
from webapp.accounts.models import AuditRecord
from webapp.annotations.models import Annotation
from webapp.tokens.models import Token

ADDRESS = "postgresql://warmboard_page:s3%40cret@127.0.0.1/warmboard"


@pytest.fixture
def role(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The rest of the test has the webapp's role."""
    Sample("abc123def456").warm(quick_test=7)
    User.objects.create_superuser("ada", password="correct horse")  # noqa: S106
    monkeypatch.setenv("WEBAPP_DATABASE_URL", ADDRESS)
    for _ in range(2):  # Again after every migration.
        call_command("database_role", stdout=io.StringIO())
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE warmboard_page")
        yield
        cursor.execute("RESET ROLE")


def test_no_table_of_the_store_can_be_written(role: None) -> None:
    tables = [model._meta.db_table for model in apps.get_app_config("store").get_models()]
    assert len(tables) > 5
    for table in [*tables, "django_migrations"]:
        for change in ("DELETE FROM {}", "INSERT INTO {} DEFAULT VALUES", "TRUNCATE {}"):
            with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
                connection.cursor().execute(change.format(table))
    for statement in ("DELETE FROM accounts_auditrecord", "CREATE TABLE mine (x int)", "CREATE ROLE other"):
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            connection.cursor().execute(statement)


def test_everything_that_the_webapp_does_works(role: None, anyone: Client, settings: Settings) -> None:
    assert anyone.post("/sign-in/", {"username": "ada", "password": "wrong"}).status_code == 200
    assert anyone.post("/sign-in/", {"username": "ada", "password": "correct horse"}).status_code == 302
    assert read_everything(anyone, webapp.urls) > 100
    assert anyone.post("/runs/abc123def456/annotation/", {"note": "mine", "tags": "x"}).status_code in (200, 302, 303)
    assert Annotation.objects.get().note == "mine"
    assert anyone.post("/tokens/", {"name": "a program's", "days": "30"}).status_code == 200
    token = Token.objects.get()
    assert anyone.post(f"/tokens/{token.pk}/revoke/").status_code in (302, 303)
    with pubsub_server() as server:
        settings.PUBSUB_EMULATOR_HOST = server.address
        page = anyone.get("/operations/replay/?run_id=abc123def456").content.decode()
        form = {"request": page.partition('name="request" value="')[2].partition('"')[0]}
        assert anyone.post("/operations/replay/", form).status_code == 302
        assert server.messages
    assert AuditRecord.objects.count() >= 3
    call_command("visibility", "two-tower", only_for=["team"], stdout=io.StringIO())
    call_command("account", "ada", join="team", stdout=io.StringIO())
    assert anyone.post("/sign-out/").status_code == 302


def test_it_may_write_a_backup(role: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The test's own transaction goes on.
    monkeypatch.setattr("webapp.backup.write.snapshot", nullcontext)
    call_command("backup", str(tmp_path / "all.gz"), everything=True)


def test_an_owner_that_is_no_superuser_can_make_the_role_and_change_it(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a managed PostgreSQL, whose users may create roles and databases at most."""
    monkeypatch.setenv("WEBAPP_DATABASE_URL", ADDRESS)
    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE managed CREATEROLE")
        for table in connection.introspection.table_names():
            cursor.execute(f"ALTER TABLE {table} OWNER TO managed")
        cursor.execute("ALTER SCHEMA public OWNER TO managed")
        cursor.execute(f"GRANT CONNECT ON DATABASE {connection.settings_dict['NAME']} TO managed WITH GRANT OPTION")
        cursor.execute("SET LOCAL ROLE managed")
        for _ in range(2):
            call_command("database_role", stdout=io.StringIO())
        cursor.execute("RESET ROLE")
        cursor.execute("SELECT rolcanlogin, rolsuper, rolcreaterole FROM pg_roles WHERE rolname = 'warmboard_page'")
        assert cursor.fetchone() == (True, False, False)


@pytest.mark.parametrize("right", ["SUPERUSER", "CREATEROLE", "CREATEDB"])
def test_a_user_that_may_do_more_is_refused(db: None, right: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBAPP_DATABASE_URL", ADDRESS)
    connection.cursor().execute(f"CREATE ROLE warmboard_page {right}")
    with pytest.raises(CommandError, match="may create roles or databases"):
        call_command("database_role")


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("", "needs a user name"),
        ("postgresql://127.0.0.1/warmboard", "needs a user name"),
        ("postgresql://warmboard:x@127.0.0.1/warmboard", "which owns the tables"),
    ],
)
def test_an_address_that_is_no_use_is_refused(
    db: None, address: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBAPP_DATABASE_URL", address)
    with pytest.raises(CommandError, match=says):
        call_command("database_role")
