"""Fixtures of the webapp's tests: gathered static files, an empty Redis, a reader who has signed in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from django.conf import settings
from django.contrib.auth.hashers import ScryptPasswordHasher
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client

from deploy.local.process import Process
from store import warm
from store.hot import hot
from tests.webapp.samples import Sample
from webapp.access import rate_limit
from webapp.access.readers import readers
from webapp.listing import known

collect_ignore = [] if connection.vendor == "postgresql" else ["test_database_role.py"]


@pytest.fixture(scope="session", autouse=True)
def static_files() -> None:
    call_command("collectstatic", interactive=False, verbosity=0)


@pytest.fixture(scope="session", autouse=True)
def cheap_passwords() -> Iterator[None]:
    """The same hashes with fewer rounds: the real cost is there to slow people down who guess."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScryptPasswordHasher, "work_factor", 2**4)
        yield


@pytest.fixture(autouse=True)
def empty_redis(valkey: Process) -> Iterator[redis.Redis]:
    connection = redis.Redis.from_url(settings.REDIS_URL)
    connection.flushdb()
    _forget()
    yield connection
    _forget()


def _forget() -> None:
    """What this process keeps: its connections to Redis, and what it read a moment ago."""
    hot.cache_clear()
    warm._local.cache_clear()
    readers.forget()
    rate_limit._limits.cache_clear()
    known.forget()


@pytest.fixture
def reader(db: None) -> Client:
    """A browser that has signed in."""
    client = Client()
    client.force_login(User.objects.create_user("ada"))
    return client


@pytest.fixture
def anyone(db: None) -> Client:
    """A browser that has not."""
    return Client()


@pytest.fixture
def sample(db: None) -> Sample:
    """A warm run of twenty epochs, quick test 7."""
    run = Sample("abc123def456")
    run.warm(quick_test=7)
    return run
