"""A stack that the old version warmed serves its runs after the upgrade, and finishes what was under way."""

from __future__ import annotations

import gzip
import hashlib
import json
from typing import Any

import pytest
import redis
import requests
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from deploy.local.process import Process
from store.hot import Hot
from tests.environment import VALKEY_PORT
from tests.upgrade.fixture import Database, as_stored, from_base64, load_redis, messages, read
from tests.upgrade.mlflow import EPOCHS
from tests.upgrade.stack import Stack, outcomes
from tests.waiting import PATIENCE
from warmboard.contract.entries import Encoding, EntryKey, Resolution

# One process holds both stacks.
pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("upgrade")]
RUNS: dict[str, str] = read("known.json")["runs"]
ROWS: dict[str, Any] = read("rows.json")
ANSWERS: list[dict[str, Any]] = read("answers.json")


def rows(table: str) -> list[dict[str, Any]]:
    """The rows of a table in the fixture."""
    content = ROWS[table]
    return [dict(zip(content["columns"], row, strict=True)) for row in content["rows"]]


def shown(answer: requests.Response) -> Any:
    """What of a document is compared: all but sentences for people, which may change."""
    return _without_prose(json.loads(answer.content))


def _without_prose(value: Any) -> Any:
    if isinstance(value, dict):
        prose = {"expect", "error"} | ({"reason"} if "available" in value else set())
        return {key: _without_prose(item) for key, item in value.items() if key not in prose}
    return [_without_prose(item) for item in value] if isinstance(value, list) else value


class TestTables:
    def test_every_migration_that_was_applied_is_still_there(self) -> None:
        loader = MigrationLoader(None)
        known = {*loader.disk_migrations, *(old for new in loader.replacements.values() for old in new.replaces)}
        applied = {(row["app"], row["name"]) for row in rows("django_migrations")}
        assert applied <= known

    def test_no_row_is_lost_or_changed(self, stack: Stack) -> None:
        for table, content in ROWS.items():
            for was, now in zip(content["rows"], stack.survived[table], strict=True):
                assert list(now) == was, table

    @pytest.mark.django_db
    def test_the_tables_are_those_of_a_new_stack(self, stacks: dict[str, Stack]) -> None:
        if connection.vendor != "sqlite":
            pytest.skip("not run: the tables of an upgraded SQLite beside new ones (the tests are on PostgreSQL)")
        query = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY name"
        with connection.cursor() as cursor:
            cursor.execute(query)
            new = cursor.fetchall()
        assert stacks["sqlite"].database.query(query) == new

    def test_both_databases_have_the_same_columns(self, stacks: dict[str, Stack]) -> None:
        assert stacks["postgresql"].database.columns() == stacks["sqlite"].database.columns()


class TestAnswers:
    def test_every_address_answers_as_before(self, stack: Stack) -> None:
        assert len(ANSWERS) > 200
        for was in ANSWERS:
            now = stack.answers[was["path"], was["who"]]
            found = (now.status_code, now.headers.get("Content-Type"), now.headers.get("Location"))
            assert found == (was["status"], was["type"], was.get("location")), (was["path"], was["who"])

    def test_stored_bodies_are_the_same_to_the_byte(self, stack: Stack) -> None:
        stored = [was for was in ANSWERS if "sha256" in was]
        assert len(stored) >= 30
        for was in stored:
            now = stack.answers[was["path"], was["who"]]
            assert hashlib.sha256(now.content).hexdigest() == was["sha256"], was["path"]
            assert now.headers.get("ETag") == was.get("etag"), was["path"]

    def test_documents_say_the_same(self, stack: Stack) -> None:
        documents = [was for was in ANSWERS if "json" in was]
        assert len(documents) > 20
        for was in documents:
            assert shown(stack.answers[was["path"], was["who"]]) == was["json"], (was["path"], was["who"])

    def test_lists_hold_the_same_runs_in_the_same_order(self, stack: Stack) -> None:
        lists = [was for was in ANSWERS if "runs" in was]
        assert len(lists) > 5
        for was in lists:
            content = json.loads(stack.answers[was["path"], was["who"]].content)
            assert [run["mlflow_run_id"] for run in content["runs"]] == was["runs"], was["path"]

    def test_the_inbox_shows_the_same_events(self, stack: Stack) -> None:
        for was in (was for was in ANSWERS if "counts" in was):
            content = json.loads(stack.answers[was["path"], was["who"]].content)
            assert {state: count["count"] for state, count in content["states"].items()} == was["counts"]
            assert [event["id"] for event in content["events"]] == was["events"]

    @pytest.mark.parametrize(("encoding", "suffix"), [("gzip", "-gz"), ("zstd", "-zstd")])
    def test_bodies_are_sent_as_they_are_stored(self, stack: Stack, encoding: str, suffix: str) -> None:
        golden = [row for row in rows("store_warmentry") if row["run_id"] == RUNS["golden"]]
        assert len(golden) == 13
        for row in golden:
            answer = stack.get(_address(row), accept_encoding=encoding)
            assert answer.headers["Content-Encoding"] == encoding
            assert answer.headers["ETag"] == f'"{row["etag"]}{suffix}"'
            assert answer.content == from_base64(row[encoding])

    def test_a_browser_that_has_a_body_is_not_sent_it_again(self, stack: Stack) -> None:
        was = next(was for was in ANSWERS if "etag" in was)
        token = read("known.json")["tokens"]["ada"]
        headers = {"Authorization": f"Bearer {token}", "If-None-Match": was["etag"], "Accept-Encoding": "identity"}
        assert requests.get(stack.address + was["path"], headers=headers, timeout=PATIENCE).status_code == 304

    def test_a_comparison_holds_the_stored_histories(self, stack: Stack) -> None:
        runs = [RUNS["golden"], RUNS["plain"], RUNS["secret"]]
        path = f"/api/compare?runs={','.join(runs)}"
        for who, seen in (("token ada", 3), ("token vera", 2)):
            found = json.loads(stack.get(path, who).content)["runs"]
            histories = [json.loads(stack.get(f"/api/runs/{run}/training-history/").content) for run in runs[:seen]]
            assert [run["mlflow_run_id"] for run in found] == runs
            assert [run["history"] for run in found] == histories + [None] * (3 - seen)

    def test_a_hidden_run_is_unknown_to_a_viewer(self, stack: Stack) -> None:
        path = f"/api/runs/{RUNS['secret']}/"
        assert stack.get(path, "token ada").status_code == 200
        assert stack.get(path, "token vera").status_code == 404
        assert RUNS["secret"].encode() not in stack.get("/api/runs/?q=is%3Aall", "token vera").content

    def test_pages_name_the_run_and_what_was_said_about_it(self, stack: Stack) -> None:
        page = _text(stack.answers[f"/runs/{RUNS['golden']}/", "session ada"])
        for text in ("quick-test-7", "The best so far.", "ranking"):
            assert text in page
        audit = _text(stack.answers["/operations/audit/", "session ada"])
        for record in rows("accounts_auditrecord"):
            assert record["action"] in audit

    def test_a_password_still_signs_in(self, stack: Stack) -> None:
        with requests.Session() as browser:
            page = browser.get(f"{stack.address}/sign-in/", timeout=PATIENCE).text
            guard = page.partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]
            form = {"csrfmiddlewaretoken": guard, "username": "vera", "password": read("known.json")["password"]}
            answer = browser.post(f"{stack.address}/sign-in/", form, allow_redirects=False, timeout=PATIENCE)
            assert (answer.status_code, answer.headers["Location"]) == (302, "/")

    def test_an_unknown_token_is_refused(self, stack: Stack) -> None:
        answer = requests.get(f"{stack.address}/api/runs/", headers={"Authorization": "Bearer wb_no"}, timeout=PATIENCE)
        assert answer.status_code == 401


class TestHotCopy:
    def test_what_redis_holds_is_found(self, valkey: Process) -> None:
        """Apart from the stacks, where a webapp has heated Redis from its tables."""
        url = f"redis://127.0.0.1:{VALKEY_PORT}/15"
        client = redis.Redis.from_url(url)
        client.flushdb()
        load_redis(client)
        golden = {
            EntryKey(row["run_id"], row["name"], Resolution(row["resolution"])): row
            for row in rows("store_warmentry")
            if row["run_id"] == RUNS["golden"]
        }
        for encoding in Encoding:
            found = Hot(url).read(golden, encoding)
            assert len(found) == sum(":entry:" in key and key.endswith(encoding) for key in read("redis.json"))
            for key, body in found.items():
                assert (body.data, body.etag) == (from_base64(golden[key][encoding.value]), golden[key]["etag"])


class TestWorker:
    """What the old version left in Redis and in its inbox, taken up by a worker of this version."""

    def test_there_is_one_message_of_every_kind(self) -> None:
        tasks = {name for name, _ in messages().values()}
        assert tasks == {"warm_run", "rebuild_run", "replay_runs", "expire"}

    @pytest.mark.parametrize("name", ["sqlite", "postgresql"])
    def test_every_message_in_flight_is_run(self, worked: dict[str, str], name: str) -> None:
        assert [outcome for outcome in outcomes() if outcome not in worked[name]] == []
        assert "Received unregistered task" not in worked[name]

    def test_unfinished_events_are_finished(self, stack: Stack, worked: dict[str, str]) -> None:
        states = dict(stack.database.query("SELECT event_id, state FROM store_inboxevent"))
        was = {row["event_id"]: row["state"] for row in rows("store_inboxevent")}
        assert sum(state in ("pending", "warming") for state in was.values()) == 5
        left = {event: state for event, state in states.items() if state not in ("done", "unreadable")}
        failed = [row["event_id"] for row in rows("store_inboxevent") if row["run_id"] == RUNS["failed"]]
        assert left == dict.fromkeys(failed, "failed")

    @pytest.mark.parametrize("run", ["waiting", "live", "killed", "retried", "plain"])
    def test_runs_that_waited_are_warm(self, stack: Stack, worked: dict[str, str], run: str) -> None:
        """``plain`` is the one of the replay request."""
        content = json.loads(stack.get(f"/api/runs/{RUNS[run]}/training-history/").content)
        assert content["available"] is True
        assert content["run_name"] == "fetched-after-the-upgrade"
        assert content["epochs_total"] == EPOCHS

    def test_a_run_of_an_older_schema_is_made_from_what_was_kept(self, stack: Stack, worked: dict[str, str]) -> None:
        content = json.loads(stack.get(f"/api/runs/{RUNS['outdated']}/training-history/").content)
        assert (content["available"], content["run_name"]) == (True, "older-schema")

    def test_what_is_too_old_is_dropped(self, stack: Stack, worked: dict[str, str]) -> None:
        kept = {run for (run,) in stack.database.query("SELECT run_id FROM store_runsource")}
        assert RUNS["aged"] not in kept
        assert {RUNS["golden"], RUNS["secret"]} <= kept
        events = {run for (run,) in stack.database.query("SELECT run_id FROM store_inboxevent")}
        assert RUNS["aged"] not in events
        assert RUNS["golden"] in events

    def test_nothing_is_left_in_redis(self, stack: Stack, worked: dict[str, str]) -> None:
        left = {key for key in stack.redis.scan_iter("warmboard:celery:*") if stack.redis.type(key) != b"set"}
        assert left <= {b"warmboard:celery:unacked_mutex"}

    def test_what_no_task_was_about_stays(self, stack: Stack, worked: dict[str, str]) -> None:
        golden = [row for row in rows("store_warmentry") if row["run_id"] == RUNS["golden"]]
        assert sorted(_stored(stack.database)) == sorted((row["name"], row["etag"]) for row in golden)


def _stored(database: Database) -> list[tuple[Any, ...]]:
    query = f"SELECT name, etag FROM store_warmentry WHERE run_id = '{RUNS['golden']}'"  # noqa: S608 - ours
    return [tuple(as_stored(value, "") for value in row) for row in database.query(query)]


def _address(row: dict[str, Any]) -> str:
    """Where the API has an entry."""
    name, run = row["name"], f"/api/runs/{row['run_id']}/"
    if name.startswith("histogram-"):
        _, kind, tower = name.split("-")
        return f"{run}histogram-data/?type={kind}&tower={tower}&resolution={row['resolution']}"
    if name == "metric-index":
        return f"{run}metrics/"
    if name.startswith("metric-chunk-"):
        return f"{run}metrics/{name.removeprefix('metric-chunk-')}/?resolution={row['resolution']}"
    return f"{run}training-history/?resolution={row['resolution']}"


def _text(answer: requests.Response) -> str:
    """A page, decompressed if it was sent compressed."""
    content = answer.content
    return (gzip.decompress(content) if answer.headers.get("Content-Encoding") == "gzip" else content).decode()
