"""Workers' tests that touch tables have a real Valkey behind the store."""

import pytest

from deploy.local.process import Process


@pytest.fixture
def tables(valkey: Process, transactional_db: None) -> None:
    """The store, as a worker finds it."""
