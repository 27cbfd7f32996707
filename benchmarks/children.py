"""Trainings to measure, each in its own process, with a healthy or an unhealthy tracking server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks.between import between
from deploy.local.process import free_port
from warmboard.contract.settings import SETTINGS

SECONDS = 600
SLOW_SECONDS = 0.2
BAD = {
    "slow": f"server slow by {SLOW_SECONDS * 1000:.0f} ms",
    "dead": "no server",
    "silent": "server falls silent",
}


@contextmanager
def address_of(server: str, health: str) -> Iterator[str]:
    """The address of the server in this state of health."""
    if health == "healthy":
        yield server
    elif health == "dead":
        yield f"http://127.0.0.1:{free_port()}"
    elif health == "slow":
        with between(server, SLOW_SECONDS) as address:
            yield address
    else:
        with between(server, falls_silent=True) as address:
            yield address


def child(module: str, arguments: Sequence[str], address: str, pubsub: str) -> Any:
    """Run a module in its own process and return the JSON of its last line.

    Raises RuntimeError if it fails.
    """
    with tempfile.TemporaryDirectory(prefix="warmboard-bench-") as folder:
        environ = {
            **{name: value for name, value in os.environ.items() if name not in SETTINGS},
            "KERAS_BACKEND": "tensorflow",
            "TF_CPP_MIN_LOG_LEVEL": "2",
            "MLFLOW_TRACKING_URI": address,
            "MLFLOW_READY_SECONDS": "0",
            "PUBSUB_EMULATOR_HOST": pubsub,
            "OUTPUT_URI": f"{folder}/output",
            "SPOOL_DIR": f"{folder}/spool",
        }
        line = [sys.executable, "-m", module, *arguments]
        done = subprocess.run(line, env=environ, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(line)} ended with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])
