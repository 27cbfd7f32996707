"""Every test of the store has tables and a real Valkey, empty."""

from collections.abc import Iterator

import pytest
import redis
from django.conf import settings
from django.db import connection

from deploy.local.process import Process
from store import warm

# PostgreSQL's plans: of the second run of `python -m tests`.
collect_ignore = [] if connection.vendor == "postgresql" else ["test_plans.py"]


@pytest.fixture(autouse=True)
def hot(valkey: Process, transactional_db: None) -> Iterator[redis.Redis]:
    """Valkey as the store uses it."""
    client = redis.Redis.from_url(settings.REDIS_URL)
    client.flushdb()
    # What this process read in the test before.
    warm._local.cache_clear()
    yield client
    client.close()
