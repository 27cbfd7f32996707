"""SIGTERM and Ctrl-C end a program, whatever its main thread does at that moment."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.paths import ROOT
from tests.waiting import PATIENCE

PROGRAM = """
import os, threading, time
from workers.signals import stop_event

stop = stop_event()
with stop._cond:  # as the main thread holds it for a moment in stop.wait()
    os.kill(os.getpid(), {number})
    time.sleep(0.1)
print("ended" if stop.wait({patience}) else "never ended")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_comes_while_the_event_is_locked(number: signal.Signals) -> None:
    program = PROGRAM.format(number=int(number), patience=PATIENCE)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=2 * PATIENCE, check=False
    )
    assert (done.stdout, done.returncode) == ("ended\n", 0), done.stderr
