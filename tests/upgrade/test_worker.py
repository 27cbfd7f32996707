"""What the old version left in Redis, in its inbox and in an older schema, taken up by a worker and beat."""

from __future__ import annotations

import csv
import io
import json
import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pytest

from store.hot import Hot
from tests.upgrade.documents import CSV, SHAPES, address, as_then, but_for_time, decoded, shown
from tests.upgrade.fixture import NOT_KEPT, RUNS, messages, read, rows
from tests.upgrade.mlflow import EPOCHS
from tests.upgrade.stack import Stack, current, outcomes
from warmboard.contract.catalogue import binned_series, named_series
from warmboard.contract.entries import SCHEMA_VERSION, Encoding, EntryKey, Resolution

# One process holds both stacks.
pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("upgrade"), pytest.mark.usefixtures("worked")]
ANSWERS: list[dict[str, Any]] = read("answers.json")
REBUILT = ("golden", "plain", "secret")
FETCHED = {RUNS[name] for name in ("golden", "plain", "waiting", "live", "killed", "retried")}
"""The runs that MLflow was asked for: the kept source of ``golden`` lacks a point, ``plain`` is replayed, and the
others had never been fetched.
"""
OF_A_WARMING = {"warmed_at", "schema_version", "rebuild_attempts", "rebuild_due_at", "rebuild_reason"}
"""The columns of a run that a rebuild changes. A fetch also changes ``fetched_at``."""
SHORTER = {"golden"}
"""Runs whose sparkline has no gap any more at an epoch that the loss lacks: it has the points of the loss alone."""
NOT_BY_WORKERS = (
    "annotations_annotation", "annotations_tag", "visibility_restriction", "visibility_restriction_groups",
    "accounts_auditrecord", "auth_group", "auth_user_groups", "google_sign_in_googleaccount",
)  # fmt: skip
NEW = {("summaries", "overview"), ("about", "overview")}
"""The entries of a run that the old version did not have."""
Points = dict[str, list[tuple[int, float | str]]]
"""Metric → steps and values, sorted."""


class TestTasks:
    def test_there_is_one_message_of_every_kind(self) -> None:
        tasks = {name for name, _ in messages().values()}
        assert tasks == {"warm_run", "rebuild_run", "replay_runs", "expire"}

    @pytest.mark.parametrize("name", ["sqlite", "postgresql"])
    def test_every_message_in_flight_is_run(self, worked: dict[str, str], name: str) -> None:
        assert [outcome for outcome in outcomes() if outcome not in worked[name]] == []
        assert "Received unregistered task" not in worked[name]

    def test_unfinished_events_are_finished(self, stack: Stack) -> None:
        states = dict(stack.database.query("SELECT event_id, state FROM store_inboxevent"))
        was = {row["event_id"]: row["state"] for row in rows("store_inboxevent")}
        assert sum(state in ("pending", "warming") for state in was.values()) == 5
        left = {event: state for event, state in states.items() if state not in ("done", "unreadable")}
        failed = [row["event_id"] for row in rows("store_inboxevent", run_id=RUNS["failed"])]
        assert left == dict.fromkeys(failed, "failed")

    @pytest.mark.parametrize("run", ["waiting", "live", "killed", "retried"])
    def test_runs_that_waited_are_warm(self, stack: Stack, run: str) -> None:
        content = json.loads(stack.get(f"/api/runs/{RUNS[run]}/training-history/").content)
        assert content["available"] is True
        assert content["run_name"] == "fetched-after-the-upgrade"
        assert content["epochs_total"] == EPOCHS

    def test_a_run_of_a_still_older_schema_is_made_from_what_was_kept(self, stack: Stack) -> None:
        content = json.loads(stack.get(f"/api/runs/{RUNS['outdated']}/training-history/").content)
        assert (content["available"], content["run_name"]) == (True, "older-schema")

    def test_what_is_too_old_is_dropped(self, stack: Stack) -> None:
        kept = {run for (run,) in stack.database.query("SELECT run_id FROM store_runsource")}
        assert RUNS["aged"] not in kept
        assert {RUNS["golden"], RUNS["secret"]} <= kept
        events = {run for (run,) in stack.database.query("SELECT run_id FROM store_inboxevent")}
        assert RUNS["aged"] not in events
        assert RUNS["golden"] in events
        assert json.loads(stack.get(f"/api/runs/{RUNS['aged']}/").content)["state"] == "expired"

    def test_nothing_is_left_in_redis(self, stack: Stack) -> None:
        left = {key for key in stack.redis.scan_iter("warmboard:celery:*") if stack.redis.type(key) != b"set"}
        assert left <= {b"warmboard:celery:unacked_mutex"}

    def test_what_no_task_was_about_stays(self, stack: Stack) -> None:
        for table in NOT_BY_WORKERS:
            assert current(stack.database, table) == stack.survived[table], table


class TestRebuilt:
    """Runs of the old schema, which the sweep found and a worker has rebuilt."""

    def test_only_what_the_kept_sources_lack_is_fetched(self, stack: Stack) -> None:
        assert set(stack.mlflow.fetched) == FETCHED

    def test_all_entries_have_the_schema_of_today(self, stack: Stack) -> None:
        found = dict(stack.database.query("SELECT run_id, schema_version FROM store_run"))
        now = {run: SCHEMA_VERSION for name, run in RUNS.items() if name not in ("failed", "aged")}
        assert found == now | {RUNS["failed"]: None, RUNS["aged"]: None}

    @pytest.mark.parametrize("name", REBUILT)
    def test_every_field_of_an_old_body_is_served_with_its_value(self, stack: Stack, name: str) -> None:
        old = rows("store_warmentry", run_id=RUNS[name])
        assert len(old) == (13 if name == "golden" else 2)
        for row in old:
            found = json.loads(stack.get(address(row["name"], row["resolution"], RUNS[name])).content)
            assert but_for_time(as_then(row["name"], found)) == but_for_time(decoded(row)), row["name"]
        kinds = {(row["name"], row["resolution"]) for row in old} | NEW
        assert {(kind, resolution) for kind, resolution, *_ in stored(stack, RUNS[name])} == kinds

    def test_documents_say_the_same_again(self, stack: Stack) -> None:
        """Also what a run lacks is unknown again, and a hidden run still is."""
        rebuilt = {RUNS[name] for name in REBUILT}
        documents = [was for was in ANSWERS if was.get("json", {}).get("mlflow_run_id") in rebuilt]
        assert len(documents) >= 14
        for was in documents:
            expected, now = was["json"], shown(stack.get(was["path"], was["who"]))
            if "warmed_at" in expected:
                assert now.pop("warmed_at") > expected["warmed_at"]
                # The replay of ``plain`` is an attempt at its event.
                changed = {"warmed_at", *(("attempts", "timings", "events") if RUNS["plain"] in was["path"] else ())}
                expected, now = ({k: v for k, v in found.items() if k not in changed} for found in (expected, now))
            assert now == expected, (was["path"], was["who"])

    @pytest.mark.parametrize("name", REBUILT)
    def test_the_rows_of_a_run_have_what_they_had(self, stack: Stack, name: str) -> None:
        (was,) = rows("store_run", run_id=RUNS[name])
        now = dict(
            zip(was, next(row for row in current(stack.database, "store_run") if row[0] == RUNS[name]), strict=True)
        )
        if name in SHORTER:
            was["sparkline"] = [value for value in was["sparkline"] if value is not None]
        changed = OF_A_WARMING | ({"fetched_at"} if RUNS[name] in FETCHED else set())
        assert {k: v for k, v in now.items() if k not in changed} == {k: v for k, v in was.items() if k not in changed}
        assert (now["rebuild_attempts"], now["rebuild_due_at"], now["rebuild_reason"]) == (0, None, "")
        params = f"SELECT key, text, number FROM store_runparam WHERE run_id = '{RUNS[name]}'"  # noqa: S608 - ours
        assert set(stack.database.query(params)) == {
            (row["key"], row["text"], row["number"]) for row in rows("store_runparam", run_id=RUNS[name])
        }
        metrics = "SELECT run_id, key, value, first, min, max, count FROM store_runmetric"
        found = {key: numbers for run, key, *numbers in stack.database.query(metrics) if run == RUNS[name]}
        for row in rows("store_runmetric", run_id=RUNS[name]):
            assert found[row["key"]] == [row["value"]] * 4 + [1]
        assert all(count for *_, count in found.values())
        assert found.keys() == json.loads(stack.get(f"/api/runs/{RUNS[name]}/summaries/").content)["metrics"].keys()

    def test_the_quick_test_holds_the_history(self, stack: Stack) -> None:
        (was,) = rows("store_quicktest")
        ((found,),) = stack.database.query("SELECT training_history_json FROM store_quicktest")
        now = json.loads(found) if isinstance(found, str) else found
        assert but_for_time(as_then("history", now)) == but_for_time(was["training_history_json"])

    @pytest.mark.parametrize(("encoding", "suffix"), [("gzip", "-gz"), ("zstd", "-zstd"), ("identity", "")])
    def test_bodies_are_sent_as_they_are_stored(self, stack: Stack, encoding: str, suffix: str) -> None:
        for name, resolution, etag, *bodies in stored(stack, RUNS["golden"]):
            path = address(name, resolution, RUNS["golden"])
            answer = stack.get(path, accept_encoding=encoding)
            assert answer.headers["ETag"] == f'"{etag}{suffix}"'
            if suffix:
                assert answer.headers["Content-Encoding"] == encoding
                assert answer.content == bytes(bodies[encoding == "zstd"])
            again = stack.get(path, accept_encoding=encoding, if_none_match=answer.headers["ETag"])
            assert (again.status_code, again.content) == (304, b"")

    def test_a_browser_with_an_old_body_is_sent_the_new_one(self, stack: Stack) -> None:
        known = [was for was in ANSWERS if "etag" in was]
        assert len(known) > 20
        for was in known:
            answer = stack.get(was["path"], was["who"], if_none_match=was["etag"])
            assert (answer.status_code, json.loads(answer.content)["available"]) == (200, True), was["path"]
            assert answer.headers["ETag"] != was["etag"]

    def test_a_comparison_holds_the_stored_histories(self, stack: Stack) -> None:
        runs = [RUNS[name] for name in REBUILT]
        path = f"/api/compare?runs={','.join(runs)}"
        for who, seen in (("token ada", 3), ("token vera", 2)):
            found = json.loads(stack.get(path, who).content)["runs"]
            histories = [json.loads(stack.get(f"/api/runs/{run}/training-history/").content) for run in runs[:seen]]
            assert all(history["available"] for history in histories)
            assert [run["mlflow_run_id"] for run in found] == runs
            assert [run["history"] for run in found] == histories + [None] * (3 - seen)

    def test_redis_holds_the_new_bodies(self, stack: Stack) -> None:
        entries = {
            EntryKey(RUNS["golden"], name, Resolution(resolution)): (etag, dict(zip(Encoding, bodies, strict=True)))
            for name, resolution, etag, *bodies in stored(stack, RUNS["golden"])
        }
        for encoding in Encoding:
            for key in entries:
                stack.get(address(key.name, key.resolution, key.run_id), accept_encoding=encoding)
            found = Hot(stack.environ["REDIS_URL"]).read(entries, encoding)
            assert found.keys() == entries.keys()
            for key, body in found.items():
                etag, bodies = entries[key]
                assert (body.etag, body.data) == (etag, bytes(bodies[encoding]))


class TestExports:
    @pytest.mark.parametrize("name", ["golden", "plain"])
    def test_a_table_has_every_point_of_then(self, stack: Stack, name: str) -> None:
        answer = stack.get(f"/api/runs/{RUNS[name]}/export.csv?histograms=with")
        assert answer.headers["Content-Type"] == CSV
        found, finals = of_table(answer.content.decode("utf-8-sig")), finals_of_then(name)
        assert {key: [value for _, value in found.pop(key)] for key in finals} == finals
        if name == "golden":
            key, step, value, _ = NOT_KEPT
            found[key].remove((step, value))
        assert found == of_then(name)

    def test_a_quick_test_has_the_table_of_its_run(self, stack: Stack) -> None:
        of_run = stack.get(f"/api/runs/{RUNS['golden']}/export.csv").content
        assert stack.get("/api/quick-tests/7/export.csv").content == of_run
        assert of_table(of_run.decode("utf-8-sig")).keys() >= {"loss", "batch/loss", "final_loss"}

    def test_json_has_every_field_of_then(self, stack: Stack) -> None:
        found = json.loads(stack.get(f"/api/runs/{RUNS['golden']}/export.json").content)
        assert found.keys() >= set(SHAPES["Export"])
        assert all(axis.keys() >= set(SHAPES["Axis"]) for axis in found["axes"])
        assert all(metric.keys() >= set(SHAPES["ExportedMetric"]) for metric in found["metrics"].values())

    def test_parquet_is_parquet(self, stack: Stack) -> None:
        answer = stack.get(f"/api/runs/{RUNS['golden']}/export.parquet")
        assert answer.headers["Content-Type"] == "application/vnd.apache.parquet"
        assert (answer.content[:4], answer.content[-4:]) == (b"PAR1", b"PAR1")


def stored(stack: Stack, run_id: str) -> list[tuple[Any, ...]]:
    """Name, resolution, ETag and both bodies of each entry of a run."""
    return stack.database.query(
        f"SELECT name, resolution, etag, gzip, zstd FROM store_warmentry WHERE run_id = '{run_id}'"  # noqa: S608 - ours
    )


def of_table(content: str) -> Points:
    """The points of a CSV file."""
    head, *lines = csv.reader(io.StringIO(content))
    found: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for step, _, *values in lines:
        for key, value in zip(head[2:], values, strict=True):
            if value:
                found[key].append((int(step), float(value)))
    return {key: in_order(points) for key, points in found.items()}


def of_then(name: str) -> Points:
    """The points of the bodies that the old version stored, at full resolution."""
    found: Points = {}
    for document in map(decoded, rows("store_warmentry", run_id=RUNS[name], resolution="full")):
        gaps = document.get("non_finite", [])
        kinds = {(gap["metric"], gap["epoch"]): float(gap["kind"]) for gap in gaps}
        for key, steps, values in _series(document):
            points = [
                (step, kinds.get((key, step)) if value is None else value)
                for step, value in zip(steps, values, strict=True)
            ]
            if any(value is not None for _, value in points):
                found[key] = in_order((step, value) for step, value in points if value is not None)
    return found


def finals_of_then(name: str) -> dict[str, list[float]]:
    (history,) = rows("store_warmentry", run_id=RUNS[name], resolution="full", name="history")
    return {key: [value] for key, value in decoded(history)["final_metrics"].items()}


def in_order(points: Iterable[tuple[int, float]]) -> list[tuple[int, float | str]]:
    """Sorted by step; NaN, which equals nothing, as a word."""
    return [(step, "NaN" if math.isnan(value) else value) for step, value in sorted(points)]


def _series(document: dict[str, Any]) -> Iterable[tuple[str, list[int], list[float | None]]]:
    if "axes" in document:
        for key, metric in document["metrics"].items():
            yield key, document["axes"][metric["axis"]]["steps"], metric["values"]
    else:
        series = named_series(document) | document["metrics"] if "loss" in document else binned_series(document)
        for key, values in series.items():
            yield key, document["epochs"], values
