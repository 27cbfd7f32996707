"""Queueing a task costs a program no import of what runs it."""

import subprocess
import sys

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
        "workers.recording.seeks",
        "workers.recording.text",
        "workers.settings",
        "workers.subscriber",
    }
