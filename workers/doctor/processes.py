"""Our processes on this machine, by their heartbeats, and the webapp and Flower, where the environment names them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import urllib3

from warmboard.contract.settings import FLOWER_URL, WEBAPP_PORT
from workers.doctor.finding import Finding, Findings, Given, failure, ok, warning
from workers.fetch.connections import connections_to

SUBJECT = "processes"
COMMANDS = {"subscriber": "subscribe", "worker": "worker", "beat": "beat"}
TIMEOUT = urllib3.Timeout(connect=3, read=5)
LARGEST = 2**16


def heartbeats(given: Given) -> Findings:
    settings = given.settings
    files = {
        "subscriber": settings.subscriber_heartbeat,
        "worker": settings.worker_heartbeat,
        "beat": settings.beat_heartbeat,
    }
    if not any(map(os.path.exists, files.values())):
        fix = "Start them. If each runs in a container or on a machine of its own, ask there: `docker compose ps`."
        yield warning(SUBJECT, "no subscriber, worker or beat has a heartbeat here", fix)
        return
    for name, file in files.items():
        yield _heartbeat(name, file, settings.heartbeat_age_seconds)


def _heartbeat(name: str, heartbeat: Path, seconds: int) -> Finding:
    try:
        age = time.time() - heartbeat.stat().st_mtime
    except OSError:
        fix = f"Start it: `python -m workers {COMMANDS[name]}`. If it runs elsewhere, run doctor there, too."
        return warning(SUBJECT, f"no {name} has a heartbeat on this machine, at {heartbeat}", fix)
    if age > seconds:
        fix = f"Read its log; then restart it: `python -m workers {COMMANDS[name]}`."
        return failure(SUBJECT, f"the {name} does not work: its last heartbeat, {heartbeat}, is {age:.0f} s old", fix)
    if age < -seconds:
        fix = "Set the clock by NTP, and delete the file."
        return failure(SUBJECT, f"the heartbeat {heartbeat} is {-age:.0f} s in the future", fix)
    return ok(SUBJECT, f"the {name} works: its last heartbeat is {max(age, 0):.0f} s old")


def servers(given: Given) -> Findings:
    """The webapp at WEBAPP_PORT and Flower at FLOWER_URL, if the environment has these."""
    if given.environ.get(WEBAPP_PORT.name):
        yield _asked("webapp", f"http://127.0.0.1:{WEBAPP_PORT.read(given.environ)}/readyz", "python -m webapp serve")
    if flower := FLOWER_URL.read(given.environ):
        yield _asked("Flower", f"{flower.rstrip('/')}/healthcheck", "python -m workers flower")


def _asked(name: str, address: str, command: str) -> Finding:
    fix = f"Start it: `{command}`. If it runs, read its log."
    try:
        answer = connections_to(address, 1).request(
            "GET", address, timeout=TIMEOUT, redirect=False, retries=False, preload_content=False
        )
        text = " ".join(answer.read(LARGEST).decode(errors="replace").split())[:200]
        answer.close()
    except (urllib3.exceptions.HTTPError, OSError) as error:
        return warning(SUBJECT, f"{name} does not answer at {address}: {error}", fix)
    if answer.status != 200:
        return warning(SUBJECT, f"{name} answers {answer.status} at {address}: {text}", fix)
    return ok(SUBJECT, f"{name} answers at {address}")
