"""Two servers that never finish an answer, beside a good one: its runs are warm nevertheless. With a real worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from deploy.local.process import Part, Process, has_said
from tests.environment import VALKEY_PORT
from tests.waiting import PATIENCE
from tests.workers.fetch.small_server import Answer, serving
from tests.workers.servers.test_watch import ManyRuns

HOSTILE_RUNS = 4
SCRIPT = """
import json, sys, time
from workers.settings import setup_django
setup_django()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django.utils import timezone
from store.models import InboxEvent, Run
from warmboard.contract.events import RunEvent, RunStatus
from workers import inbox
from workers.queue import dispatch

def end(run_id, server):
    event = RunEvent.completed(run_id=run_id, tracking_server=server, experiment_name="e", status=RunStatus.FINISHED,
                               end_time=timezone.now(), epochs=1)
    inbox.record(inbox.Message(run_id, *event.encode(), timezone.now()))
    dispatch(run_id)

print("migrated", flush=True)
sys.stdin.readline()
for number in range({hostile}):
    end(f"drip{{number}}", "drip")
    end(f"hang{{number}}", "hang")
while InboxEvent.objects.filter(state="warming").count() < 2:
    time.sleep(0.05)
for number in range(3):
    end(f"good{{number}}", "default")
    while not InboxEvent.objects.filter(run_id=f"good{{number}}", state="done").exists():
        time.sleep(0.05)
held = InboxEvent.objects.filter(state="warming").values_list("run_id", flat=True)
print(json.dumps(list(held)))
"""


@pytest.fixture
def servers() -> Iterator[dict[str, str]]:
    """Name → address: one server answers, one sends headers and then nothing, one a byte each two seconds."""
    good, over = ManyRuns(), Event()

    def answer(path: str, headers: Any, body: bytes) -> Answer:
        split = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(split.query).items()} | json.loads(body or b"{}")
        return good._answer(split.path, query, headers.get("Accept-Encoding", ""))

    with ExitStack() as stack:
        found = {"default": stack.enter_context(serving(answer))}
        for name, pause in (("hang", PATIENCE), ("drip", 2.0)):
            found[name] = stack.enter_context(serving(lambda *_: (200, b" " * 1000, {}), drip=(pause, over)))
        stack.callback(over.set)
        yield {name: server.address for name, server in found.items()}


@pytest.mark.usefixtures("valkey")
def test_a_good_server_beside_two_that_never_finish_an_answer(servers: dict[str, str], tmp_path: Path) -> None:
    environ = os.environ | {
        "DATABASE_URL": f"sqlite:///{tmp_path}/tables.sqlite3",
        "REDIS_URL": f"redis://127.0.0.1:{VALKEY_PORT}/14",
        "MLFLOW_TRACKING_URI": servers.pop("default"),
        "MLFLOW_TRACKING_SERVERS": ",".join(f"{name}={address}" for name, address in servers.items()),
    }
    environ.pop("DJANGO_SETTINGS_MODULE", None)
    script = [sys.executable, "-c", SCRIPT.format(hostile=HOSTILE_RUNS)]
    log = tmp_path / "worker.log"
    with subprocess.Popen(script, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as trainer:
        assert trainer.stdout
        assert trainer.stdout.readline() == "migrated\n"
        # One process more than there are servers, as by default.
        part = Part("worker", [sys.executable, "-m", "workers", "worker"], has_said(log, " ready."))
        worker = Process(part, environ, log)
        try:
            worker.wait_ready(PATIENCE)
            said = trainer.communicate("go\n", timeout=PATIENCE)[0]
        finally:
            trainer.kill()
            worker.kill()
    busy = Counter(run_id[:4] for run_id in json.loads(said))
    assert busy.keys() <= {"drip", "hang"}
    assert busy.total() <= 3, "one process is left for the good server"
    assert "held back: waits for a process" in log.read_text()
