"""Redis, which is Celery's broker and the store's cache, and the workers that take tasks from it."""

from __future__ import annotations

import time
from typing import Any

import redis

from warmboard.contract.settings import without_credentials
from workers.doctor import clock
from workers.doctor.finding import Finding, Findings, Given, Level, failure, ok, warning
from workers.doctor.workers import answering

SUBJECT = "Redis"
SECONDS = 3.0
OLDEST = (6, 2)
"""The oldest version that has what Celery and the store use."""
MEMORY_FIX = "Set `maxmemory 256mb` and `maxmemory-policy volatile-lru`: docs/operations/operations.md, Redis's memory."


def look(given: Given) -> Findings:
    found = list(_server(given.settings.redis_url))
    yield from found
    if not any(finding.level is Level.FAILURE for finding in found):
        yield from answering()


def _server(url: str) -> Findings:
    place = without_credentials(url)
    try:
        client: Any = redis.Redis.from_url(url, socket_connect_timeout=SECONDS, socket_timeout=SECONDS)
        with client:
            client.ping()
            yield ok(SUBJECT, f"answers at {place}")
            yield from _properties(client)
    except redis.RedisError as error:
        yield _failed(error, place)
    except ValueError as error:
        yield failure(SUBJECT, f"REDIS_URL can't be used: {error}", "Write it as redis://:PASSWORD@HOST:PORT/NUMBER.")


def _properties(client: Any) -> Findings:
    try:
        before = time.time()
        seconds, microseconds = client.time()
        yield from clock.difference(SUBJECT, seconds + microseconds / 1e6, before, time.time())
        info: dict[str, Any] = client.info()
    except redis.exceptions.NoPermissionError as error:
        fix = "Let the user of REDIS_URL run TIME and INFO: `ACL SETUSER NAME +time +info`."
        yield warning(SUBJECT, f"its version, memory and clock are not shown to this user: {error}", fix)
        return
    yield from _version(info)
    yield from _role(info)
    yield from _memory(info)
    yield from _persistence(info, _snapshots(client))


def _snapshots(client: Any) -> str | None:
    """When it writes snapshots; empty for never, None where a managed server doesn't tell."""
    try:
        return str(client.config_get("save").get("save", ""))
    except redis.ResponseError:
        return None


def _failed(error: redis.RedisError, place: str) -> Finding:
    text = str(error)
    if isinstance(error, redis.AuthenticationError) or "WRONGPASS" in text or "NOAUTH" in text:
        fix = "Correct REDIS_URL: redis://USER:PASSWORD@HOST:PORT/0, or redis://:PASSWORD@HOST:PORT/0 without users."
        return failure(SUBJECT, f"the password is wrong or missing at {place}: {text}", fix)
    if isinstance(error, redis.exceptions.BusyLoadingError):
        return failure(SUBJECT, f"it is still loading its data at {place}", "Wait until it has started.")
    if "DB index" in text:
        return failure(SUBJECT, f"{place} names a database that the server lacks: {text}", "Use /0 in REDIS_URL.")
    if "CERTIFICATE" in text.upper():
        fix = "Name its authority in REDIS_URL: rediss://…?ssl_cert_reqs=required&ssl_ca_certs=FILE."
        return failure(SUBJECT, f"its certificate is not trusted at {place}: {text}", fix)
    if isinstance(error, redis.exceptions.NoPermissionError):
        fix = "Let the user run all commands on all keys: `ACL SETUSER NAME ~* +@all`."
        return failure(SUBJECT, f"the user lacks a permission at {place}: {text}", fix)
    fix = "Start Redis, or correct REDIS_URL; check that no firewall is between. A server with TLS needs rediss://."
    return failure(SUBJECT, f"nothing answers at {place}: {text}", fix)


def _version(info: dict[str, Any]) -> Findings:
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = str(info.get("valkey_version") or info["redis_version"])
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < OLDEST:
        yield warning(SUBJECT, f"{name} {version} is old", f"Upgrade to {'.'.join(map(str, OLDEST))} or newer.")
    else:
        yield ok(SUBJECT, f"{name} {version}")


def _role(info: dict[str, Any]) -> Findings:
    if info.get("role") == "slave":
        yield failure(SUBJECT, "it is a replica, which takes no writes", "Name the primary in REDIS_URL.")
    if info.get("redis_mode") == "cluster":
        fix = "Use a server with cluster mode disabled: Celery's queues need it."
        yield failure(SUBJECT, "it is a cluster", fix)


def _memory(info: dict[str, Any]) -> Findings:
    limit, policy = int(info.get("maxmemory", 0)), str(info.get("maxmemory_policy", ""))
    if not limit:
        text = "it has no memory limit: a server whose memory is full is killed by the kernel"
        yield warning(SUBJECT, text, MEMORY_FIX)
    elif policy.startswith("allkeys"):
        text = f"its maxmemory-policy {policy} evicts queued tasks when the memory is full"
        yield failure(SUBJECT, text, MEMORY_FIX)
    elif policy == "noeviction":
        text = "its maxmemory-policy noeviction keeps old hot bodies and rejects new tasks when the memory is full"
        yield warning(SUBJECT, text, MEMORY_FIX)


def _persistence(info: dict[str, Any], snapshots: str | None) -> Findings:
    if info.get("aof_enabled") and info.get("aof_last_write_status") == "err":
        yield failure(SUBJECT, "it can't write its append-only file", "Free its disk: it rejects writes until then.")
    if info.get("rdb_last_bgsave_status") == "err":
        yield failure(SUBJECT, "its last snapshot failed, so it may reject writes", "Free its disk; read its log.")
    if not info.get("aof_enabled") and snapshots == "":
        text = "it writes nothing to disk: a restart loses queued tasks until the sweep queues them again"
        yield warning(SUBJECT, text, "Set `appendonly yes`.")
