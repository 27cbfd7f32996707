"""How many requests a reader may make: counted over all processes, in a real Valkey."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from store.hot import hot
from tests.webapp.samples import Sample
from webapp.access import rate_limit
from webapp.access.rate_limit import Limits
from webapp.tokens.models import Token

BODY = "/api/runs/abc123def456/training-history/"
NOON = 1_800_000_000.0 // 60 * 60


@pytest.fixture(autouse=True)
def a_limit_of_five(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Five requests a minute, on a clock that stands still, 15 s into its minute; the test may move it."""
    now = [NOON + 15]
    monkeypatch.setattr(rate_limit, "clock", lambda: now[0])
    settings.RATE_LIMIT = 5
    rate_limit._limits.cache_clear()
    yield now
    rate_limit._limits.cache_clear()


@pytest.mark.parametrize("address", [BODY, "/api/runs/", "/api/runs/abc123def456/export.csv", "/api/complete"])
def test_one_too_many_is_told_when_to_come_again(
    reader: Client, sample: Sample, address: str, a_limit_of_five: list[float]
) -> None:
    answers = [reader.get(address) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert [answer["RateLimit-Remaining"] for answer in answers] == ["4", "3", "2", "1", "0", "0"]
    assert answers[0]["RateLimit-Limit"] == answers[-1]["RateLimit-Limit"] == "5"
    assert answers[-1]["RateLimit-Reset"] == answers[-1]["Retry-After"] == "45"
    assert answers[-1].json() == {"error": "Rate limit exceeded: 5 requests per minute. Retry in 45 s."}
    a_limit_of_five[0] += 45
    again = reader.get(address)
    assert (again.status_code, again["RateLimit-Remaining"]) == (200, "4")


def test_pages_are_not_counted(reader: Client, sample: Sample) -> None:
    assert {reader.get("/").status_code for _ in range(8)} == {200}
    assert "RateLimit-Remaining" not in reader.get("/")


def test_a_read_past_the_look_up_of_its_reader_tells_what_is_left(reader: Client, sample: Sample) -> None:
    first, second = reader.get(BODY), reader.get(BODY)
    assert [first[name] for name in ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")] == ["5", "4", "45"]
    assert second["RateLimit-Remaining"] == "3"
    assert "RateLimit-Limit" not in second


def test_every_reader_has_a_count_of_their_own(
    reader: Client, anyone: Client, sample: Sample, settings: Settings
) -> None:
    tokens = [Token.create(User.objects.get(), name, None)[1] for name in "ab"]
    while reader.get(BODY).status_code == 200:
        pass
    for token in tokens:
        statuses = [anyone.get(BODY, headers={"Authorization": f"Bearer {token}"}).status_code for _ in range(6)]
        assert statuses == [200] * 5 + [429]
    settings.LOOPBACK_READ = True
    assert [anyone.get(BODY).status_code for _ in range(6)] == [200] * 5 + [429]
    assert anyone.get(BODY, REMOTE_ADDR="127.0.0.2").status_code == 200


def test_made_up_readers_count_as_their_address(anyone: Client, sample: Sample) -> None:
    statuses = [anyone.get(BODY, headers={"Authorization": f"Bearer wb_{number}"}).status_code for number in range(6)]
    assert statuses == [401] * 5 + [429]
    anyone.cookies["sessionid"] = "made up"
    assert anyone.get(BODY).status_code == 429


def test_all_processes_count_together(empty_redis: redis.Redis) -> None:
    connection: Any = empty_redis  # redis-py's types leave open whether it is the asynchronous client
    one, other = Limits(5), Limits(5)
    made = [process.count("ada").made for process in (one, other, one, one, other, other)]
    assert made == [1, 2, 3, 4, 5, 6]
    assert one.count("grace").made == 1
    names = connection.keys("warmboard:requests:*")
    assert sorted(int(connection.get(name)) for name in names) == [1, 6]
    assert all(60 < connection.ttl(name) <= 120 for name in names)
    assert b"ada" not in b"".join(names)


def test_redis_is_told_once_a_second_or_sooner_when_much_comes(
    empty_redis: redis.Redis, a_limit_of_five: list[float]
) -> None:
    connection: Any = empty_redis
    counting = Limits(1000)

    def told() -> int:
        return sum(int(connection.get(name)) for name in connection.keys("warmboard:requests:*"))

    for _ in range(10):
        counting.count("ada")
    assert told() == 1
    counting.count("ada")
    assert told() == 11
    a_limit_of_five[0] += 1
    assert counting.count("ada").made == 12
    assert told() == 12


def test_without_redis_every_process_counts_alone(
    reader: Client, sample: Sample, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    hot.cache_clear()
    assert [reader.get("/api/runs/").status_code for _ in range(6)] == [200] * 5 + [429]
    assert "Redis is down, continuing without it" in caplog.text


def test_zero_is_no_limit(reader: Client, sample: Sample, settings: Settings) -> None:
    settings.RATE_LIMIT = 0
    rate_limit._limits.cache_clear()
    answers = [reader.get(address) for address in (BODY, "/api/runs/") for _ in range(8)]
    assert {answer.status_code for answer in answers} == {200}
    assert "RateLimit-Limit" not in answers[-1]


def test_the_memory_of_readers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "MOST_READERS", 10)
    counting = Limits(5)
    for number in range(50):
        counting.count(f"reader {number}")
    assert len(counting._counts) <= 11
    assert counting.count("reader 0").made == 2
