"""The command ``warmboard-server``."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deploy.local.foreground import carry_out, end, keep_running, running, show_logs
from deploy.local.stack import Stack
from deploy.local.supervisor import AlreadyUpError, Supervisor, say
from deploy.server.earlier import EarlierRuns
from deploy.server.source import variables

UP = "warmboard-server up"
EXAMPLES = """examples:
  warmboard-server up --mlflow https://mlflow.example.org
  warmboard-server up --mlflow sqlite:///mlflow.db     MLflow itself reads the file (warmboard-server[mlflow])
  warmboard-server up --mlruns ./mlruns                the same for a folder
  warmboard-server doctor                              something is wrong: look at all that is up
  warmboard-server account ada --group operator        an account of the webapp; reading needs none on this machine
  warmboard-server workers replay --failed             a command of the workers
  warmboard-server backup warmboard.backup

Settings come from the environment, as everywhere: MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or
MLFLOW_TRACKING_TOKEN, are the credentials for MLflow; WEBAPP_PORT is the port of the pages; DATABASE_URL and REDIS_URL
name servers to use in place of embedded ones."""


def main() -> int:
    """Run one command and return its exit status."""
    return carry_out(_parser(), "warmboard-server")


def up(args: argparse.Namespace) -> int:
    began = time.monotonic()
    given = dict(os.environ)
    stack = Stack(args.data, {**given, **variables(args.mlflow, args.mlruns, given)})
    try:
        with Supervisor(stack) as supervisor:
            say(f"\nUp. Runs: {stack.urls['web']}   Stop: Ctrl-C")
            earlier = EarlierRuns(stack.urls["web"], began)
            try:
                keep_running(supervisor, with_logs=args.logs, look=earlier.poll)
            finally:
                earlier.close()
    except AlreadyUpError as error:
        say(f"Already up: {error.state['urls']['web']}" if error.state.get("up") else "Already starting elsewhere")
    return 0


def down(args: argparse.Namespace) -> None:
    end(args.data, UP)


def logs(args: argparse.Namespace) -> None:
    show_logs(args.data, UP)


def run(args: argparse.Namespace) -> int:
    """Run a program in the environment of what is up."""
    environ = {**os.environ, **running(args.data, UP)["environ"]}
    command = [sys.executable, "-m", *args.program, *args.arguments]
    return subprocess.run(command, env=environ, check=False).returncode


def _parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        "warmboard-server",
        description="Charts of your MLflow runs that open instantly: every part of Warmboard on this machine.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--data", type=Path, default=_data(), help="the folder of all data (%(default)s)")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    start = commands.add_parser("up", help="start every part, and warm the runs that have ended, until Ctrl-C")
    which = start.add_mutually_exclusive_group()
    which.add_argument(
        "--mlflow", metavar="URI", help="your MLflow: its address, or sqlite:///FILE (default: MLFLOW_TRACKING_URI)"
    )
    which.add_argument("--mlruns", type=Path, metavar="DIR", help="a folder of runs that MLflow wrote")
    start.add_argument("--logs", action="store_true", help="show all logs, interleaved")
    start.set_defaults(command=up)
    commands.add_parser("down", help="end what is up").set_defaults(command=down)
    commands.add_parser("logs", help="follow all logs").set_defaults(command=logs)
    for name, program, text in (
        ("doctor", ["workers", "doctor"], "look at all that is up, and say what to do"),
        ("account", ["webapp", "manage", "account"], "create or change an account of the webapp"),
        ("backup", ["webapp", "manage", "backup"], "write a backup to a file, while it runs"),
        ("restore", ["webapp", "manage", "restore"], "restore a backup into an empty store"),
        ("workers", ["workers"], "a command of the workers, such as replay"),
    ):
        _add_program(commands, name, program, text)
    return top


def _add_program(commands: Any, name: str, program: Sequence[str], text: str) -> None:
    # Its own --help is the program's.
    parser = commands.add_parser(name, help=text, add_help=False)
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    parser.set_defaults(command=run, program=program)


def _data() -> Path:
    """By the XDG Base Directory Specification."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "warmboard"


if __name__ == "__main__":
    sys.exit(main())
