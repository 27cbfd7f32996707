"""A stack that the old version warmed, right after the upgrade: nothing is lost, and every address answers.

Its entries have an older schema, so the API says that its runs are being rebuilt; test_worker.py has what follows.
"""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
import redis
import requests
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from deploy.local.process import Process
from store.hot import Hot
from store.state import EXPECT
from tests.environment import VALKEY_PORT
from tests.upgrade.documents import CSV, listed_runs, shown, text
from tests.upgrade.fixture import ROWS, RUNS, load_redis, read, rows
from tests.upgrade.stack import Stack
from tests.waiting import PATIENCE
from warmboard.contract.entries import Encoding, EntryKey, Resolution

# One process holds both stacks.
pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("upgrade")]
ANSWERS: list[dict[str, Any]] = read("answers.json")
WARM = {RUNS[name] for name in ("golden", "plain", "secret", "aged")}
"""The runs that were warm, and are rebuilt now."""
UPSERT = "ON CONFLICT (run_id, key) DO UPDATE SET value = EXCLUDED.value"
"""How the old version writes a metric's row."""


def until_rebuilt(document: Any, who: str) -> Any:
    """A document of then, with the state that its runs have until they are rebuilt. A hidden run stays unknown."""
    found = deepcopy(document)
    for run in listed_runs(found):
        hidden = run["mlflow_run_id"] == RUNS["secret"] and who == "token vera"
        # What a warm run lacked was unknown.
        if run["mlflow_run_id"] in WARM and run["state"] in ("warm", "unknown") and not hidden:
            run["state"] = "rebuilding"
    return found


def is_export(was: dict[str, Any]) -> bool:
    """Whether it was a run's file."""
    return was["path"].startswith("/api/") and "/export." in was["path"] and was["status"] == 200


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
            media = "application/json" if is_export(was) else was["type"].replace("text/csv", CSV)
            assert found == (was["status"], media, was.get("location")), (was["path"], was["who"])

    def test_no_body_of_the_old_schema_is_served(self, stack: Stack) -> None:
        """Not even to a browser that has it: the address says that the run is being rebuilt."""
        stored = [was for was in ANSWERS if "sha256" in was or is_export(was)]
        assert len(stored) >= 30
        for was in stored:
            now = stack.answers[was["path"], was["who"]]
            (run,) = [run for run in WARM if run in was["path"]] or [RUNS["golden"]]
            state = {"available": False, "mlflow_run_id": run, "state": "rebuilding", "attempts": 0}
            assert shown(now) == state, was["path"]
            assert json.loads(now.content)["expect"] == EXPECT["rebuilding"]
            assert "ETag" not in now.headers, was["path"]

    def test_documents_say_the_same_and_that_runs_are_rebuilt(self, stack: Stack) -> None:
        documents = [was for was in ANSWERS if "json" in was]
        assert len(documents) > 20
        for was in documents:
            expected = until_rebuilt(was["json"], was["who"])
            assert shown(stack.answers[was["path"], was["who"]]) == expected, (was["path"], was["who"])

    def test_lists_hold_the_same_runs_in_the_same_order(self, stack: Stack) -> None:
        lists = [was for was in ANSWERS if "runs" in was]
        assert len(lists) > 5
        for was in lists:
            content = json.loads(stack.answers[was["path"], was["who"]].content)
            assert [run["mlflow_run_id"] for run in content["runs"]] == was["runs"], was["path"]
            states = {run["state"] for run in content["runs"] if run["mlflow_run_id"] in WARM}
            assert states <= {"rebuilding"}, was["path"]

    def test_the_inbox_shows_the_same_events(self, stack: Stack) -> None:
        for was in (was for was in ANSWERS if "counts" in was):
            content = json.loads(stack.answers[was["path"], was["who"]].content)
            assert {state: count["count"] for state, count in content["states"].items()} == was["counts"]
            assert [event["id"] for event in content["events"]] == was["events"]

    def test_a_comparison_names_the_runs_and_their_states(self, stack: Stack) -> None:
        runs = [RUNS["golden"], RUNS["plain"], RUNS["secret"]]
        path = f"/api/compare?runs={','.join(runs)}"
        for who, states in (("token ada", ["rebuilding"] * 3), ("token vera", ["rebuilding"] * 2 + ["unknown"])):
            found = json.loads(stack.answers[path, who].content)["runs"]
            assert [(run["mlflow_run_id"], run["state"]) for run in found] == list(zip(runs, states, strict=True))
            assert [run["history"] for run in found] == [None] * 3
            assert [run.get("name") for run in found[:2]] == ["quick-test-7", "other-framework"]

    def test_a_hidden_run_is_unknown_to_a_viewer(self, stack: Stack) -> None:
        path = f"/api/runs/{RUNS['secret']}/"
        assert stack.get(path, "token ada").status_code == 200
        assert stack.get(path, "token vera").status_code == 404
        assert RUNS["secret"].encode() not in stack.get("/api/runs/?q=is%3Aall", "token vera").content

    def test_pages_name_the_run_and_what_was_said_about_it(self, stack: Stack) -> None:
        page = text(stack.answers[f"/runs/{RUNS['golden']}/", "session ada"])
        for words in ("quick-test-7", "The best so far.", "ranking"):
            assert words in page
        audit = text(stack.answers["/operations/audit/", "session ada"])
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
    def test_old_bodies_in_redis_are_never_read(self, valkey: Process) -> None:
        """Apart from the stacks, where a webapp has heated Redis from its tables."""
        url = f"redis://127.0.0.1:{VALKEY_PORT}/15"
        client = redis.Redis.from_url(url)
        client.flushdb()
        load_redis(client)
        golden = [
            EntryKey(row["run_id"], row["name"], Resolution(row["resolution"]))
            for row in rows("store_warmentry", run_id=RUNS["golden"])
        ]
        names = [key for key in read("redis.json") if ":entry:" in key]
        assert len(names) >= 10
        assert client.exists(*names, f"warmboard:generation:{RUNS['golden']}") == len(names) + 1
        for encoding in Encoding:
            assert Hot(url).read(golden, encoding) == {}


class TestOldWorker:
    """During an upgrade a worker of the old version still writes, without the columns that are new."""

    def test_its_rows_are_listed_and_sorted(self, stack: Stack) -> None:
        (golden,) = rows("store_run", run_id=RUNS["golden"])
        run = golden | {"run_id": "rolling00run", "name": "rolling", "final_metrics": {"final_loss": 0.05}}
        metric = {"key": "final_loss", "value": 0.05, "run_id": "rolling00run"}
        try:
            stack.database.insert("store_run", run)
            stack.database.insert("store_runmetric", metric, UPSERT)
            assert_lists(stack, lowest="rolling00run", value=0.05)
            stack.database.insert("store_runmetric", metric | {"value": 0.9}, UPSERT)
            assert_lists(stack, lowest=RUNS["golden"], value=0.9)
            new = "SELECT first, min, max, count FROM store_runmetric WHERE run_id = 'rolling00run'"
            assert stack.database.query(new) == [(None, None, None, None)]
            assert stack.database.query("SELECT unit FROM store_run WHERE run_id = 'rolling00run'") == [("epoch",)]
        finally:
            stack.database.execute("DELETE FROM store_runmetric WHERE run_id = 'rolling00run'")
            stack.database.execute("DELETE FROM store_run WHERE run_id = 'rolling00run'")


def assert_lists(stack: Stack, *, lowest: str, value: float) -> None:
    """The list has the run with this last value, in this order, and no other number of it."""
    pair = [RUNS["golden"], "rolling00run"]
    (highest,) = [run for run in pair if run != lowest]
    columns = "columns=metric.final_loss&columns=metric.final_loss.min"
    for sort, order in (("metric.final_loss", [lowest, highest]), ("-metric.final_loss", [highest, lowest])):
        found = json.loads(stack.get(f"/api/runs/?sort={sort}&{columns}").content)["runs"]
        assert [run["mlflow_run_id"] for run in found][:2] == order
        (rolling,) = [run for run in found if run["mlflow_run_id"] == "rolling00run"]
        assert (rolling["name"], rolling["state"]) == ("rolling", "rebuilding")
        assert rolling["final_metrics"] == {"final_loss": value}
    for query, sought in ((f"metric.final_loss = {value}", ["rolling00run"]), ("metric.final_loss.min < 100", [])):
        content = json.loads(stack.get("/api/runs/?q=" + query.replace(" ", "%20")).content)
        assert [run["mlflow_run_id"] for run in content["runs"] if run["mlflow_run_id"] == "rolling00run"] == sought
    smallest = json.loads(stack.get("/api/runs/?sort=metric.final_loss.min").content)["runs"]
    assert {run["mlflow_run_id"] for run in smallest} >= set(pair)
