"""Workers' tests that touch tables have a real Valkey behind the store."""

import json
from collections.abc import Iterator

import pytest

from deploy.local.process import Process


@pytest.fixture
def tables(valkey: Process, transactional_db: None) -> None:
    """The store, as a worker finds it."""


@pytest.fixture
def queue(valkey: Process) -> Iterator[None]:
    """Celery's, empty before and after."""
    from workers.queue import app

    app.control.purge()
    yield
    app.control.purge()


def queued() -> list[tuple[str, list[object]]]:
    """Name and arguments of the tasks that wait, in the order in which a worker takes them."""
    from workers.queue import app

    found = []
    with app.connection_for_read() as connection:
        channel = connection.default_channel
        while got := channel.basic_get("celery", no_ack=True):
            found.append((got.headers["task"], json.loads(got.body)[0]))
    return found
