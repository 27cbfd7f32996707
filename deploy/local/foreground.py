"""What the programs that start a stack share: it is up in the foreground until Ctrl-C, and others of their commands are
about the one that is up.
"""

from __future__ import annotations

import argparse
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from deploy.local.logs import follow
from deploy.local.process import PartError
from deploy.local.supervisor import Supervisor, live_state, say
from warmboard.contract.settings import SettingError

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
LOOK_SECONDS = 0.5


class Stop(Exception):
    """A signal asked for an orderly end."""


def carry_out(parser: argparse.ArgumentParser, program: str) -> int:
    """Run the command that the command line names, ``command`` of its arguments; returns its exit status."""
    args = parser.parse_args()
    for number in STOP_SIGNALS:
        signal.signal(number, _raise_stop)
    try:
        return int(args.command(args) or 0)
    except Stop:
        return 130
    except (PartError, SettingError) as error:
        # The notes are what doctor has found.
        say("\n".join([f"\n{program}: {error}", *getattr(error, "__notes__", [])]))
        return 1


def keep_running(supervisor: Supervisor, *, with_logs: bool, look: Callable[[], None] = lambda: None) -> None:
    """Restart parts that end, until a signal; calls ``look`` now and then. Raises PartError if a part keeps ending."""
    stop = threading.Event()
    if with_logs:
        threading.Thread(target=follow, args=(supervisor.stack.logs, stop), daemon=True).start()
    try:
        while True:
            supervisor.watch()
            look()
            time.sleep(LOOK_SECONDS)
    except Stop:
        # The work is done; Ctrl-C is the normal way to end.
        return
    finally:
        stop.set()


def running(data: Path, command: str) -> dict[str, Any]:
    """The state of the stack that is up. Raises PartError if none is; ``command`` starts one."""
    state = live_state(data)
    if not state.get("up"):
        raise PartError(f"nothing is up; start it with `{command}`")
    return state


def end(data: Path, command: str) -> None:
    """End what is up, like Ctrl-C, and wait until it has ended. Raises PartError as ``running`` does."""
    supervisor = psutil.Process(running(data, command)["pid"])
    supervisor.terminate()
    supervisor.wait()


def show_logs(data: Path, command: str) -> None:
    """Follow all logs of the stack that is up. Raises PartError as ``running`` does."""
    running(data, command)
    follow(data / "logs", threading.Event())


def _raise_stop(*_: object) -> None:
    for number in STOP_SIGNALS:
        # The orderly end has begun; a second signal must not interrupt it.
        signal.signal(number, signal.SIG_IGN)
    raise Stop
