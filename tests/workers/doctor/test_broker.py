"""What is said of Redis: a real Valkey, reconfigured."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from deploy.local.process import Process, free_port
from tests.environment import VALKEY_PORT
from tests.workers.doctor.seen import problems, the_failure, the_warning
from workers.doctor import broker
from workers.doctor.finding import Finding, Given
from workers.health.signals import VERSIONS
from workers.settings import Settings

GOOD = {"maxmemory": "100mb", "maxmemory-policy": "volatile-lru", "save": "3600 1", "appendonly": "no"}
CHANGED = (*GOOD, "requirepass")


@pytest.fixture
def server(valkey: Process) -> Iterator[redis.Redis]:
    """The Valkey of all tests, configured as it should be, and afterwards as before."""
    client = redis.Redis(port=VALKEY_PORT)
    before: dict[str, str] = {name: client.config_get(name)[name] for name in CHANGED}  # type: ignore[index]
    for name, value in GOOD.items():
        client.config_set(name, value)
    yield client
    for name, value in before.items():
        client.config_set(name, value)
    client.close()


def look(url: str = f"redis://127.0.0.1:{VALKEY_PORT}/0") -> list[Finding]:
    return list(broker._server(url))


def test_a_server_as_it_should_be(server: redis.Redis) -> None:
    found = look()
    assert problems(found) == []
    assert re.match(r"Valkey \d+\.", found[-1].text)


def test_a_wrong_password_is_named_and_not_shown(server: redis.Redis) -> None:
    server.config_set("requirepass", "the-right-one")
    try:
        for user in ("", ":the-wrong-one@"):
            text = the_failure(look(f"redis://{user}127.0.0.1:{VALKEY_PORT}/0"))
            assert text.startswith(f"the password is wrong or missing at redis://127.0.0.1:{VALKEY_PORT}/0")
            assert "Correct REDIS_URL" in text
            assert "the-wrong-one" not in text
        assert problems(look(f"redis://:the-right-one@127.0.0.1:{VALKEY_PORT}/0")) == []
    finally:
        server.config_set("requirepass", "")


def test_nothing_at_the_address() -> None:
    text = the_failure(look(f"redis://127.0.0.1:{free_port()}/0"))
    assert "nothing answers at redis://127.0.0.1:" in text
    assert "Start Redis" in text


def test_a_fault_of_redis_is_said_once() -> None:
    settings = Settings.read({"REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"})
    assert len(list(broker.look(Given({}, settings)))) == 1


def test_a_database_that_the_server_lacks(server: redis.Redis) -> None:
    assert "Use /0 in REDIS_URL" in the_failure(look(f"redis://127.0.0.1:{VALKEY_PORT}/99"))
    assert "REDIS_URL can't be used" in the_failure(look("redis://127.0.0.1:port/0"))


def test_a_policy_that_evicts_tasks_is_a_failure(server: redis.Redis) -> None:
    server.config_set("maxmemory-policy", "allkeys-lru")
    assert "allkeys-lru evicts queued tasks" in the_failure(look())


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("maxmemory-policy", "noeviction", "noeviction keeps old hot bodies and rejects new tasks"),
        ("maxmemory", "0", "no memory limit"),
        ("save", "", "a restart loses queued tasks"),
    ],
)
def test_what_will_fail_one_day_is_a_warning(server: redis.Redis, name: str, value: str, words: str) -> None:
    server.config_set(name, value)
    assert words in the_warning(look())


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ({"role": "slave"}, "it is a replica"),
        ({"redis_mode": "cluster"}, "it is a cluster"),
        ({"rdb_last_bgsave_status": "err"}, "its last snapshot failed"),
        ({"aof_enabled": 1, "aof_last_write_status": "err"}, "it can't write its append-only file"),
    ],
)
def test_a_server_that_takes_no_writes_is_a_failure(info: dict[str, Any], words: str) -> None:
    assert words in the_failure([*broker._role(info), *broker._persistence(info, "3600 1")])


def test_an_old_version_is_a_warning() -> None:
    assert "Redis 5.0.14 is old" in the_warning(broker._version({"redis_version": "5.0.14"}))


def test_a_user_without_permission_to_look(server: redis.Redis) -> None:
    server.acl_setuser("doctor-test", enabled=True, passwords=["+secret"], commands=["+ping", "+select"], keys=["*"])
    try:
        found = look(f"redis://doctor-test:secret@127.0.0.1:{VALKEY_PORT}/0")
        assert "ACL SETUSER" in the_warning(found)
    finally:
        server.acl_deluser("doctor-test")


def test_a_clock_that_is_an_hour_off(server: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis.Redis, "time", lambda _: (4_000_000_000, 0))
    assert "ahead of this machine's" in the_failure(look())


@pytest.mark.usefixtures("queue")
def test_no_worker_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    from workers.doctor import workers

    monkeypatch.setattr(workers, "SECONDS", 0.1)
    assert "no worker answers over the broker" in the_failure(workers.answering())


def test_workers_of_another_version_are_named() -> None:
    from workers.doctor.workers import _behind
    from workers.health.signals import versions

    answers = {
        "same": versions(),
        "older": {**versions(), "schema": 1},
        "oldest": {"error": f"No such command: {VERSIONS}"},
    }
    texts = [finding.text for finding in _behind(answers)]
    assert texts == [
        f"older has schema 1, and this program {versions()['schema']}",
        "oldest is of an older version of Warmboard",
    ]
