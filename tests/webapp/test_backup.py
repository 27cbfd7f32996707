"""Backups: what comes back is what was there, on either database, and a restore is all or nothing."""

from __future__ import annotations

import gzip
import json
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import Model
from django.db.utils import ConnectionHandler

from store.models import Backfill, InboxEvent, Run, Seek, Snapshot, TrackingServerState, WarmEntry
from tests.webapp.samples import Sample
from webapp.accounts.models import AuditRecord, FailedSignIn
from webapp.annotations.models import Annotation
from webapp.backup import tables, write
from webapp.google_sign_in.models import GoogleAccount
from webapp.tokens.models import Token
from webapp.visibility.models import Restriction

pytestmark = pytest.mark.django_db(transaction=True)
EXACT = datetime(2026, 1, 2, 10, 0, 0, 123456, tzinfo=UTC)
Rows = dict[str, list[dict[str, Any]]]
Damage = Callable[[list[str]], list[str]]


@pytest.fixture
def filled(transactional_db: None) -> None:
    """At least a row in every table that a backup has."""
    Sample("abc123def456", epochs=3).warm(quick_test=7)
    waiting = Sample("fed654cba321", epochs=3).announce()
    InboxEvent.objects.filter(pk=waiting.pk).update(
        received_at=EXACT, data=bytes(range(256)), attributes={"ä": "\0 "[1:]}
    )
    Seek.objects.create(request_id="r1", at=EXACT)
    Snapshot.objects.create(name="before", oldest_at=EXACT, expires_at=EXACT)
    TrackingServerState.objects.create(name="default", reason="refused", down_since=EXACT)
    Backfill.objects.create(name="default", found=3, experiments=1, to_warm=2, done=1, listed_at=EXACT)
    ada = User.objects.create_user("ada", password="correct horse")  # noqa: S106
    team = Group.objects.create(name="TEAM")
    ada.groups.add(team, Group.objects.get(name="operator"))
    Restriction.objects.create(experiment_name="secret").groups.add(team)
    GoogleAccount.objects.create(user=ada, subject="1234")
    Token.create(ada, "notebook", 30)
    annotation = Annotation.objects.create(run_id="abc123def456", note="good", changed_by="ada", changed_at=EXACT)
    annotation.tags.create(name="team", value="ranking")
    AuditRecord.objects.create(who="ada", action="annotate", target="abc123def456")
    FailedSignIn.objects.create(name="ada", address="10.0.0.1")


def rows(of: list[type[Model]]) -> Rows:
    """Every column of every row, and of the tables between two."""
    between = [model for model in apps.get_models(include_auto_created=True) if model._meta.auto_created]
    found = {model._meta.label: list(model._base_manager.order_by("pk").values()) for model in of}
    for model in between:
        columns = [field.attname for field in model._meta.concrete_fields if not field.primary_key]
        found[model._meta.label] = list(model._base_manager.order_by(*columns).values(*columns))
    return found


def but_audit(found: Rows) -> Rows:
    """A restore adds a record of itself."""
    return {name: these for name, these in found.items() if name != "accounts.AuditRecord"}


def backup(file: Path, **options: Any) -> Path:
    call_command("backup", str(file), **options)
    return file


def lines(file: Path) -> list[str]:
    return gzip.decompress(file.read_bytes()).decode().splitlines(keepends=True)


def test_every_table_is_in_the_backup_and_comes_back_as_it_was(filled: None, tmp_path: Path) -> None:
    models = tables.kept(everything=True)
    before = rows(models)
    assert [name for name, these in before.items() if not these] == ["auth.User_user_permissions"], "fill a new table"
    file = backup(tmp_path / "all.gz", everything=True)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    User.objects.all().delete()
    Run.objects.create(run_id="new", status="RUNNING", announced_at=EXACT, experiment_name="e", tracking_server="d")
    call_command("restore", str(file), replace=True)
    after = rows(models)
    assert but_audit(after) == but_audit(before)
    assert after["accounts.AuditRecord"][:-1] == before["accounts.AuditRecord"]
    assert after["accounts.AuditRecord"][-1]["action"] == "restore"
    assert [model for name in tables.PASSING if (model := apps.get_model(name))._base_manager.exists()] == []
    # New rows get new IDs.
    Sample("abc123def456").announce()


def test_charts_are_left_out_and_runs_are_to_be_rebuilt(filled: None, tmp_path: Path) -> None:
    models = tables.kept(everything=False)
    before = rows(models)
    call_command("restore", str(backup(tmp_path / "b.gz")), replace=True)
    after = rows(models)
    warm = {run["run_id"]: run.pop("schema_version") for run in before["store.Run"]}
    assert {run["run_id"]: run.pop("schema_version") for run in after["store.Run"]} == {
        run_id: None if version is None else 0 for run_id, version in warm.items()
    }
    assert {None, 0} == {run.schema_version for run in Run.objects.all()}
    assert but_audit(after) == but_audit(before)
    assert not WarmEntry.objects.exists()
    assert all(run.is_outdated for run in Run.objects.exclude(schema_version=None))


def test_both_databases_write_the_same(filled: None, tmp_path: Path) -> None:
    """So what one has written the other restores."""
    written = [json.loads(line) for line in lines(backup(tmp_path / "b.gz"))]
    event = next(row for row in written if row.get("model") == "store.inboxevent" and row["fields"]["run_id"][0] == "f")
    fields = event["fields"]
    assert fields["received_at"] == "2026-01-02T10:00:00.123456+00:00"
    assert fields["data"].startswith("AAECAwQF")
    assert fields["attributes"] == {"ä": " "}
    assert (fields["claimed_at"], fields["attempts"], fields["reason"]) == (None, 0, "")
    note = next(row for row in written if row.get("model") == "annotations.annotation")
    assert (note["pk"], note["fields"]["pinned"]) == ("abc123def456", False)
    user = next(row for row in written if row.get("model") == "auth.user")
    assert sorted(user["fields"]["groups"]) == [["TEAM"], ["operator"]]
    assert written[-1]["rows"]["store.inboxevent"] == 2


def test_a_store_with_rows_is_not_overwritten(filled: None, tmp_path: Path) -> None:
    file = backup(tmp_path / "b.gz")
    before = rows(tables.kept(everything=True))
    with pytest.raises(CommandError, match=r"nothing was restored: the store has rows already. --replace deletes"):
        call_command("restore", str(file))
    assert rows(tables.kept(everything=True)) == before
    with pytest.raises(CommandError, match=r"no backup was written: .*b.gz exists already"):
        backup(file)


def test_an_empty_store_needs_no_permission(filled: None, tmp_path: Path) -> None:
    file = backup(tmp_path / "b.gz")
    tables.empty()
    call_command("restore", str(file))
    assert User.objects.get().check_password("correct horse")


def without(number: int) -> Damage:
    return lambda found: found[:number] + found[number + 1 :] if number >= 0 else found[:number]


def of_first(old: str, new: str) -> Damage:
    return lambda found: [found[0].replace(old, new, 1), *found[1:]]


DAMAGES: list[tuple[str, Damage]] = [
    ("its last line is missing", without(-1)),
    ("the backup lacks rows", without(5)),
    ("no backup that this version reads", without(0)),
    ("no backup that this version reads", lambda _: []),
    ("no backup that this version reads", of_first('"format": 1', '"format": 2')),
    (r"other migrations \(accounts\)", of_first("0001_initial", "0001_other")),
    ("is no backup, or is cut off", lambda found: [*found[:-1], found[-1][:-9]]),
    ("a row of 'sessions.session'", lambda found: [found[0], '{"model": "sessions.session"}\n', *found[1:]]),
    ("can't be read", lambda found: [line.replace('"attempts": 0', '"attempts": "many"') for line in found]),
]


def test_a_damaged_backup_changes_nothing(filled: None, tmp_path: Path) -> None:
    whole = lines(backup(tmp_path / "b.gz"))
    before = rows(tables.kept(everything=True))
    for reason, damage in DAMAGES:
        file = tmp_path / "damaged.gz"
        file.write_bytes(gzip.compress("".join(damage(whole)).encode()))
        with pytest.raises(CommandError, match=f"nothing was restored: .*{reason}"):
            call_command("restore", str(file), replace=True)
        assert rows(tables.kept(everything=True)) == before, reason


@pytest.mark.parametrize("content", [b"", b"no gzip", gzip.compress(b"x" * 1000)[:-20], gzip.compress(b"\xff\n")])
def test_a_file_that_is_something_else_changes_nothing(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "b.gz"
    file.write_bytes(content)
    with pytest.raises(CommandError, match="nothing was restored"):
        call_command("restore", str(file))


def test_a_backup_that_fails_leaves_no_file(filled: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("webapp.backup.management.commands.backup.write", full)
    with pytest.raises(CommandError, match="no backup was written: No space left"):
        backup(tmp_path / "b.gz")
    assert list(tmp_path.iterdir()) == []


def test_a_backup_is_of_one_moment_and_blocks_no_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = connection.settings_dict
    if connection.vendor == "sqlite":
        # A file, as in a deployment: readers of tables in memory do block.
        given = given | {"NAME": str(tmp_path / "a.sqlite3")}
    mine, other = (ConnectionHandler({"default": given})["default"] for _ in range(2))
    monkeypatch.setattr(write, "connection", mine)

    def count() -> int:
        with mine.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM counted")
            found: int = cursor.fetchone()[0]
            return found

    with mine.cursor() as cursor, other.cursor() as writer:
        cursor.execute("CREATE TABLE counted (number integer)")
        with write.snapshot():
            assert count() == 0
            writer.execute("INSERT INTO counted VALUES (1)")
            assert count() == 0
        assert count() == 1
        cursor.execute("DROP TABLE counted")
    mine.close()
    other.close()
