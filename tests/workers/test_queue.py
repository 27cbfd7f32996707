"""Queueing a task costs a program no import of what runs it, and no long wait."""

import socket
import subprocess
import sys
import threading

import pytest
from kombu.exceptions import OperationalError

from workers import queue

LISTS = """
import sys
from workers.settings import setup_django
setup_django()
import workers.subscriber
print(*sorted(name for name in sys.modules if name == "numpy" or name.startswith("workers.")))
"""


def test_the_subscriber_imports_nothing_of_warming() -> None:
    done = subprocess.run([sys.executable, "-c", LISTS], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {
        "workers.backoff",
        "workers.counts",
        "workers.errors",
        "workers.fetch",
        "workers.fetch.budget",
        "workers.fetch.server",
        "workers.heartbeat",
        "workers.inbox",
        "workers.logged",
        "workers.pubsub",
        "workers.pubsub.clients",
        "workers.pubsub.dead_letters",
        "workers.pubsub.requests",
        "workers.pubsub.setup",
        "workers.pubsub.stream",
        "workers.queue",
        "workers.recording",
        "workers.recording.announced",
        "workers.recording.behind",
        "workers.recording.seeks",
        "workers.recording.text",
        "workers.settings",
        "workers.subscriber",
        "workers.tracing",
    }


def test_a_redis_that_hangs_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "BROKER_SECONDS", 0.2)
    before = queue.app.conf.broker_transport_options
    queue.give_up_on_slow_broker()
    options, queue.app.conf.broker_transport_options = queue.app.conf.broker_transport_options, before
    tried: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as hangs:

        def accept() -> None:
            while True:
                try:
                    tried.append(hangs.accept()[0])
                except OSError:
                    return

        accepting = threading.Thread(target=accept)
        accepting.start()
        address = f"redis://127.0.0.1:{hangs.getsockname()[1]}/0"
        with queue.app.connection_for_write(address, transport_options=options) as connection:
            with pytest.raises(OperationalError):
                queue.app.send_task("warm_run", ["a" * 32], retry=False, connection=connection)
            hangs.shutdown(socket.SHUT_RDWR)
        accepting.join()
    for one in tried:
        one.close()
    assert len(tried) == 1
