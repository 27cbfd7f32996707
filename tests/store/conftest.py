"""Every test of the store has empty tables and a real, empty Valkey."""

from collections.abc import Iterator

import pytest
import redis
from django.conf import settings
from django.db import connection

from deploy.local.process import Process
from store import warm

# About PostgreSQL's query plans; the second run of `python -m tests` has them.
collect_ignore = [] if connection.vendor == "postgresql" else ["test_plans.py", "test_postgres.py"]


@pytest.fixture(autouse=True)
def hot(valkey: Process, transactional_db: None) -> Iterator[redis.Redis]:
    """A client of the store's Valkey."""
    client = redis.Redis.from_url(settings.REDIS_URL)
    client.flushdb()
    # Drops what this process cached in the previous test.
    warm._local.cache_clear()
    yield client
    client.close()
