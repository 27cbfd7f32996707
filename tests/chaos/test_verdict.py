"""The verdict on a storm finds whatever went wrong."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import zstandard

from chaos.runs import MARK, Script
from chaos.tables import Tables
from chaos.verdict import Verdict, judge, settled
from warmboard.contract.events import EventType

NOW = datetime(2026, 1, 2, 10, tzinfo=UTC)
INBOX = """create table store_inboxevent (
    id integer primary key, source text, event_id text, run_id text, type text, state text, reason text,
    attempts integer, attributes text, published_at text, done_at text)"""
ENTRIES = "create table store_warmentry (run_id text, name text, resolution text, zstd blob)"
CALM = {("warm", "history", "overview"): b'{"loss":[1],}'}

Change = Callable[[sqlite3.Connection], object]


@pytest.fixture
def script() -> Script:
    """One run that must become warm, one that must be parked, one malformed message."""
    return Script(warm=["warm"], parked=["lost"], malformed=["0"], events={("us", "warm.1"), ("us", "lost.1")})


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """The tables after a storm in which all went well; the run was warm 5 s after the last fault."""
    path = tmp_path / "tables.sqlite3"
    with sqlite3.connect(path) as tables:
        tables.execute(INBOX)
        tables.execute(ENTRIES)
        published, done = (
            f"{at:%Y-%m-%d %H:%M:%S.%f}" for at in (NOW - timedelta(seconds=9), NOW + timedelta(seconds=5))
        )
        rows = [
            ("us", "warm.1", "warm", EventType.COMPLETED, "done", "", 1, "{}", published, done),
            ("us", "lost.1", "lost", EventType.COMPLETED, "failed", "404", 1, "{}", published, None),
            ("unreadable", "17", "", "", "unreadable", "no JSON", 0, json.dumps({MARK: "0"}), published, None),
        ]
        places = ", ".join("?" * len(rows[0]))
        columns = "source, event_id, run_id, type, state, reason, attempts, attributes, published_at, done_at"
        tables.executemany(f"insert into store_inboxevent ({columns}) values ({places})", rows)  # noqa: S608
        body = zstandard.compress(b'{"loss":[1],"cached_at":"2026-01-02T10:00:05Z"}')
        tables.execute("insert into store_warmentry values ('warm', 'history', 'overview', ?)", [body])
    return path


def verdict_on(database: Path, script: Script) -> Verdict:
    return judge(Tables(f"sqlite:///{database}"), script, CALM, NOW)


def test_nothing_is_wrong_with_a_storm_that_went_well(database: Path, script: Script) -> None:
    assert settled(Tables(f"sqlite:///{database}"), script) == ""
    assert verdict_on(database, script) == Verdict(problems=[], warm=1, recoveries=[5.0])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("delete from store_inboxevent where run_id = 'lost'", "event ('us', 'lost.1') is not in the inbox"),
        (
            "update store_inboxevent set event_id = 'warm.1' where run_id = 'lost'",
            "event ('us', 'warm.1') is there 2 times",
        ),
        ("update store_inboxevent set state = 'pending' where run_id = 'warm'", "event warm.1 is pending, not done"),
        ("update store_inboxevent set state = 'failed' where run_id = 'warm'", "event warm.1 is failed, not done"),
        ("update store_inboxevent set state = 'done' where run_id = 'lost'", "event lost.1 is done, not failed"),
        ("update store_inboxevent set reason = '' where run_id = 'lost'", "event lost.1 was parked without a reason"),
        ("update store_inboxevent set attributes = '{}' where source = 'unreadable'", "malformed message 0 is lost"),
        ("update store_inboxevent set reason = '' where source = 'unreadable'", "malformed message 0 is lost"),
        ("delete from store_warmentry", "run warm is not warm"),
        ("update store_warmentry set resolution = 'full'", "run warm is warm, but not as in a calm"),
        ("insert into store_warmentry select * from store_warmentry", "1 entries are there twice"),
    ],
)
def test_what_is_wrong_is_named(database: Path, script: Script, change: str, problem: str) -> None:
    with sqlite3.connect(database) as tables:
        tables.execute(change)
    assert problem in "\n".join(verdict_on(database, script).problems)


def test_other_numbers_in_a_body_are_found(database: Path, script: Script) -> None:
    body = zstandard.compress(b'{"loss":[2],"cached_at":"2026-01-02T10:00:05Z"}')
    with sqlite3.connect(database) as tables:
        tables.execute("update store_warmentry set zstd = ?", [body])
    assert verdict_on(database, script) == Verdict(["run warm is warm, but not as in a calm"], 0, [5.0])


@pytest.mark.parametrize("change", ["state = 'pending'", "state = 'warming'", "attributes = '{}', event_id = 'x'"])
def test_a_storm_has_not_settled_while_something_is_unfinished(database: Path, script: Script, change: str) -> None:
    with sqlite3.connect(database) as tables:
        tables.execute(f"update store_inboxevent set {change}")  # noqa: S608
    assert settled(Tables(f"sqlite:///{database}"), script)
