"""Every test of the store has tables and a real Valkey, empty."""

from collections.abc import Iterator

import pytest
import redis
from django.conf import settings

from deploy.local.process import Process


@pytest.fixture(autouse=True)
def hot(valkey: Process, transactional_db: None) -> Iterator[redis.Redis]:
    """Valkey as the store uses it."""
    client = redis.Redis.from_url(settings.REDIS_URL)
    client.flushdb()
    yield client
    client.close()
