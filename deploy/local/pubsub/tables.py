"""The SQLite file of the Pub/Sub server: its tables, its one lock, its transactions.

SQLite is the only state: whatever a call answered for is still there after `kill -9` (write-ahead log; a power cut may
lose the last moments, since commits don't wait for the disk). All times are microseconds since 1970.
"""

# ruff: noqa: S608 - only names of this package are put into SQL; values are always parameters.

from __future__ import annotations

import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc

PULLED = -1  # The holder of messages handed out by Pull.
_MISSING = {
    "topic": "Topic not found",
    "subscription": "Subscription does not exist",
    "snapshot": "Snapshot does not exist",
}
_SCHEMA = """
-- `config` is the resource as a serialised google.pubsub.v1 message. An ID is never used twice: a topic that is deleted
-- and created again is another topic, as in the service.
CREATE TABLE IF NOT EXISTS topics (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, config BLOB NOT NULL,
    retention INTEGER NOT NULL);    -- for how long every subscription can seek back, acked or not
CREATE TABLE IF NOT EXISTS subscriptions (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, config BLOB NOT NULL,
    retention INTEGER NOT NULL,     -- for how long a message waits for its ack, or stays if acked ones are retained
    topic INTEGER NOT NULL);        -- stays when the topic is deleted
CREATE TABLE IF NOT EXISTS messages (  -- `body` is the PubsubMessage, without its ID and publish time
    id INTEGER PRIMARY KEY AUTOINCREMENT, topic INTEGER NOT NULL, published INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS messages_of_topic ON messages (topic, published);

-- One row per subscription and message, from publishing until the ack, or, where acked ones are retained, until
-- retention ends. `holder` has the message now: 0 none, -1 a Pull, else the number of a stream. `available` is when
-- it may be delivered: the publish time; the end of the lease while held; the end of the back-off after a nack.
-- `lease` counts the deliveries and names the latest: an ack is for one lease. `attempt` counts them since a seek.
CREATE TABLE IF NOT EXISTS deliveries (
    subscription INTEGER NOT NULL, message INTEGER NOT NULL, ordering_key TEXT NOT NULL,
    available INTEGER NOT NULL, holder INTEGER NOT NULL DEFAULT 0, lease INTEGER NOT NULL DEFAULT 0,
    attempt INTEGER NOT NULL DEFAULT 0, acked INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (subscription, message)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (subscription, available, message) WHERE acked = 0;
CREATE INDEX IF NOT EXISTS deliveries_held ON deliveries (subscription, available) WHERE acked = 0 AND holder <> 0;
CREATE INDEX IF NOT EXISTS deliveries_of_message ON deliveries (message);

-- A snapshot is what was unacked when it was made, and every later message of the topic.
CREATE TABLE IF NOT EXISTS snapshots (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, config BLOB NOT NULL,
    expires INTEGER NOT NULL, topic INTEGER NOT NULL, last_message INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS snapshot_messages (
    message INTEGER NOT NULL, snapshot INTEGER NOT NULL, PRIMARY KEY (message, snapshot)) WITHOUT ROWID;
"""


class StatusError(Exception):
    """A call that the API answers with an error: a gRPC status code and a message."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def now() -> int:
    """The time in microseconds since 1970."""
    return time.time_ns() // 1000


class Tables:
    """One SQLite file behind one lock. A second process on the same file fails at once."""

    def __init__(self, path: str) -> None:
        self.lock = threading.RLock()
        # One condition per subscription, all on the same lock: a publish wakes only the receivers of its subscriptions.
        # A receiver notified inside a transaction runs after it, since it waits for the lock.
        self._changed: dict[str, threading.Condition] = defaultdict(lambda: threading.Condition(self.lock))
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=1)
        self._db.row_factory = sqlite3.Row
        # Exclusive: a second server on the same file fails at once instead of delivering everything twice.
        for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=NORMAL"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.executescript(_SCHEMA)
        # The streams of an earlier process are gone, and new ones count from 1. Their leases end at their deadlines.
        self._db.execute(f"UPDATE deliveries SET holder = {PULLED} WHERE holder > 0")

    def close(self) -> None:
        with self.lock:
            self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self.lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _row(self, kind: str, name: str, missing: str = "") -> sqlite3.Row:
        row: sqlite3.Row | None = self._db.execute(f"SELECT * FROM {kind}s WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise StatusError(grpc.StatusCode.NOT_FOUND, missing or _MISSING[kind])
        return row

    def _insert(self, kind: str, config: Any, **columns: int) -> int:
        values = {"name": config.name, "config": config.SerializeToString(), **columns}
        statement = f"INSERT INTO {kind}s ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})"
        try:
            return int(self._db.execute(statement, tuple(values.values())).lastrowid or 0)
        except sqlite3.IntegrityError:
            raise StatusError(grpc.StatusCode.ALREADY_EXISTS, f"{kind.title()} already exists") from None

    def wake(self, subscription: str) -> None:
        """Wake those who wait for messages of the subscription."""
        with self.lock:
            self._changed[subscription].notify_all()
