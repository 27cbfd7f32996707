"""Topics, subscriptions, messages and their deliveries. The tables are in `tables.py`."""

# ruff: noqa: S608 - only names and conditions of this module are put into SQL; values are always parameters.

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from google.pubsub_v1 import types

from deploy.local.pubsub import filters
from deploy.local.pubsub.tables import PULLED, StatusError, Tables, now

Subscription = types.Subscription.pb()
PubsubMessage, ReceivedMessage = types.PubsubMessage.pb(), types.ReceivedMessage.pb()

SECOND = 1_000_000
WEEK = 7 * 24 * 3600 * SECOND
_HOUR = 3600 * SECOND
_BATCH_BYTES = 4_000_000  # Of one response: gRPC clients refuse more than 4 MB unless told otherwise.
_BATCH_MESSAGES = 1000
_DEAD_LETTER = "CloudPubSubDeadLetterSource"
_DUE = """
SELECT d.message, d.lease, d.attempt, m.published, m.body FROM deliveries d JOIN messages m ON m.id = d.message
    WHERE d.subscription = :subscription AND d.acked = 0 AND d.available <= :now
    ORDER BY d.available, d.message LIMIT :n"""
# Nothing of an ordering key is delivered while an earlier message of it is held or backs off.
_DUE_IN_ORDER = """
WITH blocked AS (SELECT ordering_key, MIN(message) AS first FROM deliveries
    WHERE subscription = :subscription AND acked = 0 AND available > :now AND ordering_key <> '' GROUP BY ordering_key)
SELECT d.message, d.lease, d.attempt, m.published, m.body FROM deliveries d JOIN messages m ON m.id = d.message
    LEFT JOIN blocked USING (ordering_key)
    WHERE d.subscription = :subscription AND d.acked = 0 AND d.available <= :now
        AND (blocked.first IS NULL OR d.message < blocked.first) ORDER BY d.message LIMIT :n"""
_PURGE = """
DELETE FROM snapshots WHERE expires < :now;
DELETE FROM snapshot_messages WHERE snapshot NOT IN (SELECT id FROM snapshots);
DELETE FROM deliveries WHERE EXISTS (SELECT 1 FROM messages m, subscriptions s WHERE m.id = deliveries.message
    AND s.id = deliveries.subscription AND m.published < :now - s.retention);
DELETE FROM messages WHERE NOT EXISTS (SELECT 1 FROM deliveries WHERE message = messages.id)
    AND published < :now - COALESCE((SELECT retention FROM topics t WHERE t.id = messages.topic), 0)
    AND NOT EXISTS (SELECT 1 FROM snapshots s WHERE s.topic = messages.topic AND s.last_message < messages.id)
    AND NOT EXISTS (SELECT 1 FROM snapshot_messages WHERE message = messages.id)"""


@lru_cache(maxsize=1024)
def _subscription(config: bytes) -> Any:
    return Subscription.FromString(config)


class Storage(Tables):
    """All state. Each public method is one transaction, and raises StatusError where the API has an error."""

    # Resources: a kind is "topic", "subscription" or "snapshot", its table has an s more

    def create_topic(self, config: Any) -> None:
        with self._transaction():
            self._insert("topic", config, retention=config.message_retention_duration.ToMicroseconds())

    def create_subscription(self, config: Any) -> None:
        """Create it, with the messages that the topic retains as its backlog; NOT_FOUND without the topic."""
        with self._transaction():
            topic = self._row("topic", config.topic, "Subscription topic does not exist")
            retention = config.message_retention_duration.ToMicroseconds()
            self._insert("subscription", config, topic=topic["id"], retention=retention)
            oldest = now() - topic["retention"]
            self._backfill(self._row("subscription", config.name), "published >= :oldest", {"oldest": oldest})

    def create_snapshot(self, config: Any, subscription: str) -> Any:
        """Record what the subscription has not acked; the snapshot expires when the oldest of it is a week old."""
        with self._transaction() as db:
            row = self._row("subscription", subscription)
            last = db.execute("SELECT COALESCE(MAX(id), 0) FROM messages").fetchone()[0]
            unacked = "FROM deliveries JOIN messages m ON m.id = message WHERE subscription = ? AND acked = 0"
            oldest = db.execute(f"SELECT MIN(m.published) {unacked}", (row["id"],)).fetchone()[0]
            expires = (oldest or now()) + WEEK
            config.topic = _subscription(row["config"]).topic
            config.expire_time.FromMicroseconds(expires)
            number = self._insert("snapshot", config, topic=row["topic"], last_message=last, expires=expires)
            db.execute(f"INSERT INTO snapshot_messages SELECT message, ? {unacked}", (number, row["id"]))
            return config

    def get(self, kind: str, name: str, missing: str = "") -> bytes:
        """The serialised resource; NOT_FOUND with the text `missing`."""
        with self.lock:
            return bytes(self._row(kind, name, missing)["config"])

    def update(self, kind: str, config: Any) -> None:
        with self._transaction() as db:
            values = (config.SerializeToString(), config.message_retention_duration.ToMicroseconds(), config.name)
            db.execute(f"UPDATE {kind}s SET config = ?, retention = ? WHERE name = ?", values)

    def page(
        self, kind: str, size: int, token: str, *, project: str = "", topic: str = ""
    ) -> tuple[list[tuple[str, bytes]], str]:
        """Names and resources of the project or topic from the name `token` on, and the next page's token if any."""
        size = size if 0 < size <= _BATCH_MESSAGES else _BATCH_MESSAGES
        prefix = f"{project}/{kind}s/"
        condition = "topic = ?" if topic else f"substr(name, 1, {len(prefix)}) = ?"
        query = f"SELECT name, config FROM {kind}s WHERE {condition} AND name >= ? ORDER BY name LIMIT ?"
        with self.lock:
            value = self._row("topic", topic)["id"] if topic else prefix
            rows = [tuple(row) for row in self._db.execute(query, (value, token, size + 1))]
        return rows[:size], rows[size][0] if len(rows) > size else ""

    def delete(self, kind: str, name: str) -> None:
        """Delete a resource. The subscriptions of a deleted topic keep their backlog and name it `_deleted-topic_`."""
        with self._transaction() as db:
            number = self._row(kind, name)["id"]
            db.execute(f"DELETE FROM {kind}s WHERE id = ?", (number,))
            if kind == "topic":
                for row in db.execute("SELECT id, config FROM subscriptions WHERE topic = ?", (number,)).fetchall():
                    config = Subscription.FromString(row["config"])
                    config.topic = "_deleted-topic_"
                    orphan = (config.SerializeToString(), row["id"])
                    db.execute("UPDATE subscriptions SET config = ? WHERE id = ?", orphan)
            elif kind == "subscription":
                db.execute("DELETE FROM deliveries WHERE subscription = ?", (number,))
                self.wake(name)

    # Messages

    def publish(self, topic: str, messages: Iterable[Any]) -> list[str]:
        """Store the messages for each subscription of the topic whose filter accepts them; return their IDs."""
        with self._transaction():
            return self._publish(self._row("topic", topic)["id"], messages)

    def _publish(self, topic: int, messages: Iterable[Any]) -> list[str]:
        time_, stored = now(), []
        for message in messages:
            body = (topic, time_, message.SerializeToString())
            cursor = self._db.execute("INSERT INTO messages (topic, published, body) VALUES (?, ?, ?)", body)
            stored.append((int(cursor.lastrowid or 0), time_, message))
        for row in self._db.execute("SELECT * FROM subscriptions WHERE topic = ?", (topic,)).fetchall():
            self._offer(row, stored)
        return [str(number) for number, _, _ in stored]

    def _offer(self, row: sqlite3.Row, stored: Iterable[tuple[int, int, Any]]) -> None:
        config = _subscription(row["config"])
        passes = filters.parse(config.filter)
        self._db.executemany(
            "INSERT INTO deliveries (subscription, message, ordering_key, available) VALUES (?, ?, ?, ?)",
            [
                (row["id"], number, message.ordering_key if config.enable_message_ordering else "", published)
                for number, published, message in stored
                if passes(message.attributes)
            ],
        )
        self.wake(row["name"])

    def _backfill(self, row: sqlite3.Row, condition: str, values: dict[str, int]) -> None:
        """Offer the topic's messages that meet a condition on `messages` and that the subscription has no row of."""
        found = self._db.execute(
            f"SELECT * FROM messages WHERE topic = :topic AND {condition} AND NOT EXISTS"
            " (SELECT 1 FROM deliveries WHERE subscription = :id AND message = messages.id) ORDER BY id",
            {**values, "id": row["id"], "topic": row["topic"]},
        ).fetchall()
        self._offer(row, [(m["id"], m["published"], PubsubMessage.FromString(m["body"])) for m in found])

    def seek(self, subscription: str, *, to: int = 0, snapshot: str = "") -> None:
        """Unack what was published from `to` on, or what the snapshot has, as far as it is retained; ack the rest.

        NOT_FOUND for either resource, FAILED_PRECONDITION for a snapshot of another topic.
        """
        with self._transaction() as db:
            row = self._row("subscription", subscription)
            if snapshot:
                source = self._row("snapshot", snapshot)
                if source["topic"] != row["topic"]:
                    text = "The subscription's topic is different from that of the snapshot; they must match"
                    raise StatusError(grpc.StatusCode.FAILED_PRECONDITION, text)
                wanted = "(id > :last OR id IN (SELECT message FROM snapshot_messages WHERE snapshot = :snapshot))"
                values = {"last": source["last_message"], "snapshot": source["id"]}
                self._backfill(row, wanted, values)
            else:
                wanted, values = "published >= :to", {"to": to}
                topic = db.execute("SELECT retention FROM topics WHERE id = ?", (row["topic"],)).fetchone()
                if topic and topic["retention"]:
                    self._backfill(row, wanted, {"to": max(to, now() - topic["retention"])})
            values |= {"subscription": row["id"], "topic": row["topic"], "now": now()}
            inside = f"message IN (SELECT id FROM messages WHERE topic = :topic AND {wanted})"
            db.execute(
                "UPDATE deliveries SET acked = 0, holder = 0, lease = lease + 1, attempt = 0, available = :now"
                f" WHERE subscription = :subscription AND {inside}",
                values,
            )
            self._settle(row, f"subscription = :subscription AND NOT {inside}", [values])
            self.wake(subscription)

    # Delivery

    def receive(self, name: str, wanted: Callable[[], bool], *, until: int | None = None, **terms: int) -> list[Any]:
        """Wait for messages and lease them on the terms of `_lease`. Empty at `until`, or when no longer `wanted`.

        Between two checks it sleeps until something changes (`wake`) or the next lease or back-off ends.
        """
        with self.lock:
            while wanted():
                asked = now()
                received = self._lease(name, asked, **terms)
                if received or (until is not None and asked >= until):
                    return received
                due = self._db.execute(
                    "SELECT MIN(available) FROM deliveries WHERE acked = 0 AND available > ? AND subscription = ?",
                    (asked, self._row("subscription", name)["id"]),
                ).fetchone()[0]
                wake = min(time_ for time_ in (due, until, asked + _HOUR) if time_ is not None)
                self._changed[name].wait(max(0, wake - now()) / SECOND)
        return []

    def _lease(
        self, name: str, time_: int, *, limit: int, limit_bytes: int = 0, holder: int = PULLED, seconds: int = 0
    ) -> list[Any]:
        """Lease due messages, as ReceivedMessages, for `seconds` or else the subscription's ack deadline.

        Each stream is its own `holder`: its `limit` and `limit_bytes` (0: none) include what it already holds.
        """
        with self._transaction() as db:
            row = self._row("subscription", name)
            config = _subscription(row["config"])
            self._release(row, time_, "available <= ?", (time_,), renew=False)
            held = held_bytes = 0
            if holder != PULLED and (limit > 0 or limit_bytes > 0):
                held, held_bytes = db.execute(
                    "SELECT COUNT(*), COALESCE(SUM(LENGTH(body)), 0) FROM deliveries JOIN messages ON id = message"
                    " WHERE subscription = ? AND acked = 0 AND holder <> 0 AND holder = ?",
                    (row["id"], holder),
                ).fetchone()
            room = min(_BATCH_MESSAGES, max(0, limit - held) if limit > 0 else _BATCH_MESSAGES)
            room_bytes = min(_BATCH_BYTES, limit_bytes - held_bytes if limit_bytes > 0 else _BATCH_BYTES)
            query = _DUE_IN_ORDER if config.enable_message_ordering else _DUE
            due = db.execute(query, {"subscription": row["id"], "now": time_, "n": room if room_bytes > 0 else 0})
            end = time_ + (seconds or config.ack_deadline_seconds) * SECOND
            received: list[Any] = []
            leases = []
            for delivery in due:
                room_bytes -= len(delivery["body"])
                if room_bytes < 0 and received:  # A single message may be larger than the limit.
                    break
                entry = ReceivedMessage(ack_id=f"{row['id']}:{delivery['message']}:{delivery['lease'] + 1}")
                entry.message.ParseFromString(delivery["body"])
                entry.message.message_id = str(delivery["message"])
                entry.message.publish_time.FromMicroseconds(delivery["published"])
                if config.HasField("dead_letter_policy"):
                    entry.delivery_attempt = delivery["attempt"] + 1
                received.append(entry)
                leases.append((holder, end, row["id"], delivery["message"]))
            db.executemany(
                "UPDATE deliveries SET holder = ?, available = ?, lease = lease + 1, attempt = attempt + 1"
                " WHERE subscription = ? AND message = ?",
                leases,
            )
            return received

    def acknowledge(self, subscription: str, ack_ids: Iterable[str]) -> None:
        """Ack; an ID of a lease that was followed by another, nacked or ended by a seek does nothing, as in the API."""
        with self._transaction():
            row = self._row("subscription", subscription)
            leases = [
                {"subscription": s, "message": m, "lease": n} for s, m, n in map(_parse, ack_ids) if s == row["id"]
            ]
            self._settle(row, "subscription = :subscription AND message = :message AND lease = :lease", leases)
            self.wake(subscription)

    def modify_ack_deadlines(self, subscription: str, deadlines: Iterable[tuple[str, int]]) -> None:
        """Set for each ack ID in how many seconds its lease ends; 0 is a nack."""
        with self._transaction() as db:
            row, time_ = self._row("subscription", subscription), now()
            for ack_id, seconds in deadlines:
                number, message, lease = _parse(ack_id)
                if seconds <= 0 and number == row["id"]:
                    self._release(row, time_, "message = ? AND lease = ?", (message, lease), renew=True)
                    continue
                db.execute(
                    "UPDATE deliveries SET available = ?"
                    " WHERE subscription = ? AND message = ? AND lease = ? AND acked = 0 AND holder <> 0",
                    (time_ + seconds * SECOND, row["id"] if number == row["id"] else 0, message, lease),
                )
            self.wake(subscription)

    def _settle(self, row: sqlite3.Row, condition: str, values: Iterable[dict[str, int]]) -> None:
        retain = _subscription(row["config"]).retain_acked_messages
        statement = "UPDATE deliveries SET acked = 1, holder = 0" if retain else "DELETE FROM deliveries"
        self._db.executemany(f"{statement} WHERE {condition}", values)

    def _release(self, row: sqlite3.Row, time_: int, condition: str, values: tuple[int, ...], *, renew: bool) -> None:
        """End leases: forward messages that have used all their attempts, back off with the others.

        With `renew` later acks of the lease are void. Without it (the deadline passed) they count until the redelivery.
        """
        config = _subscription(row["config"])
        retry, policy = config.retry_policy, config.dead_letter_policy
        shortest, longest = retry.minimum_backoff.ToMicroseconds(), retry.maximum_backoff.ToMicroseconds()
        held = self._db.execute(
            "SELECT message, ordering_key, attempt FROM deliveries"
            f" WHERE subscription = ? AND acked = 0 AND holder <> 0 AND {condition}",
            (row["id"], *values),
        )
        for lease in held.fetchall():
            if policy.max_delivery_attempts and lease["attempt"] >= policy.max_delivery_attempts:
                topic = self._db.execute("SELECT id FROM topics WHERE name = ?", (policy.dead_letter_topic,)).fetchone()
                if topic:  # Without its topic a dead letter is delivered again.
                    self._forward(row, lease, topic["id"])
                    continue
            again = time_ + min(longest, shortest << min(lease["attempt"] - 1, 20))
            # What follows in a key goes back too, so that it is redelivered in order.
            self._db.execute(
                "UPDATE deliveries SET holder = 0, available = ?, lease = lease + ? WHERE subscription = ?"
                " AND acked = 0 AND (message = ? OR (? <> '' AND ordering_key = ? AND message > ?))",
                (again, renew, row["id"], lease["message"], *[lease["ordering_key"]] * 2, lease["message"]),
            )

    def _forward(self, row: sqlite3.Row, lease: sqlite3.Row, topic: int) -> None:
        source = self._db.execute("SELECT * FROM messages WHERE id = ?", (lease["message"],)).fetchone()
        message = PubsubMessage.FromString(source["body"])
        _, project, _, short_name = row["name"].split("/")
        published = Timestamp()
        published.FromMilliseconds(source["published"] // 1000)
        message.attributes[f"{_DEAD_LETTER}TopicPublishTime"] = published.ToJsonString()
        message.attributes[f"{_DEAD_LETTER}Subscription"] = short_name
        message.attributes[f"{_DEAD_LETTER}SubscriptionProject"] = project
        message.attributes[f"{_DEAD_LETTER}DeliveryCount"] = str(lease["attempt"])
        self._publish(topic, [message])
        values = {"subscription": row["id"], "message": lease["message"]}
        self._settle(row, "subscription = :subscription AND message = :message", [values])

    def purge(self) -> None:
        """Delete what no retention keeps, and forward the dead letters of subscriptions that no client pulls."""
        with self._transaction() as db:
            for row in db.execute("SELECT * FROM subscriptions").fetchall():
                self._release(row, now(), "available <= ?", (now(),), renew=False)
            for statement in _PURGE.split(";"):
                db.execute(statement, {"now": now()})


def _parse(ack_id: str) -> tuple[int, int, int]:
    try:
        subscription, message, lease = map(int, ack_id.split(":"))
    except ValueError:
        raise StatusError(grpc.StatusCode.INVALID_ARGUMENT, f"Invalid ack id (ack_id={ack_id})") from None
    return subscription, message, lease
