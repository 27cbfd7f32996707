"""The command line behind `make up`, `make demo`, `make train` and `make logs`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from deploy.local.demo import demonstrate
from deploy.local.foreground import carry_out, end, keep_running, running, show_logs
from deploy.local.process import PartError
from deploy.local.stack import Stack
from deploy.local.supervisor import AlreadyUpError, Supervisor, say

EXAMPLES = """examples:
  python -m deploy.local up                      start every part, until Ctrl-C
  python -m deploy.local demo --exit             start, train one run, wait until it is warm, stop
  python -m deploy.local run python -m trainer --epochs 5
                                                 run a command against what is up
  python -m deploy.local logs                    follow all logs, interleaved
  python -m deploy.local down                    end what is up

PUBSUB=google uses Google's Pub/Sub emulator instead of the embedded one. If the environment has
MLFLOW_TRACKING_URI, REDIS_URL, DATABASE_URL, PUBSUB_EMULATOR_HOST or STORAGE_EMULATOR_HOST, that server is used
and none is started instead."""


ACCOUNT = 'Reading needs no account. To replay from the page, create one: make account ARGS="NAME --group operator"'
UP = "make up"


def main() -> int:
    """Run one command and return its exit status."""
    return carry_out(_parser(), "warmboard")


def up(args: argparse.Namespace) -> int:
    stack = Stack(args.data)
    try:
        with Supervisor(stack) as supervisor:
            say(f'\nUp. Runs: {stack.urls["web"]}   Train one: make train ARGS="--epochs 5"   Stop: Ctrl-C')
            say(ACCOUNT)
            keep_running(supervisor, with_logs=args.logs)
    except AlreadyUpError as error:
        say(f"Already up: {error.state['urls']['web']}" if error.state.get("up") else "Already starting elsewhere")
    return 0


def demo(args: argparse.Namespace) -> int:
    stack = Stack(args.data)
    try:
        with Supervisor(stack) as supervisor:
            _demonstrate(args, stack.data, stack.settings, stack.urls, supervisor)
            if not args.exit:
                say("Everything keeps running until Ctrl-C.")
                keep_running(supervisor, with_logs=args.logs)
    except AlreadyUpError as error:
        if not error.state.get("up"):
            raise PartError("another `make up` or `make demo` is still starting; try again in a moment") from error
        say("  ✓ already up, training against what runs")
        _demonstrate(args, stack.data, error.state["environ"], error.state["urls"], None)
    return 0


def run(args: argparse.Namespace) -> int:
    """Run a command in the environment of the stack that is up."""
    return subprocess.run(
        args.arguments, env={**os.environ, **running(args.data, UP)["environ"]}, check=False
    ).returncode


def down(args: argparse.Namespace) -> None:
    end(args.data, UP)


def logs(args: argparse.Namespace) -> None:
    show_logs(args.data, UP)


def _demonstrate(
    args: argparse.Namespace, data: Path, environ: dict[str, str], urls: dict[str, str], supervisor: Supervisor | None
) -> None:
    setup = time.time() - args.began if args.began else time.monotonic() - _BEGAN
    say(f"\nTraining a two-tower model on real purchases, {args.epochs} epochs …")
    watch = supervisor.watch if supervisor else lambda: None
    found = demonstrate(data, environ, urls, setup=setup, epochs=args.epochs, watch=watch)
    seconds = found["seconds"]
    say(f"\nWarm {seconds['publish_to_warm']:.2f} s after the run-completed event. Its charts open at once:")
    say(f"\n    {found['urls']['run']}\n")
    say(f"    Flower {urls['flower']}   MLflow {urls['mlflow']}   figures: {data / 'demo.json'}")
    say(f"    {ACCOUNT}")


def _parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        "python -m deploy.local",
        description="Warmboard on this machine, with embedded defaults.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--data", type=Path, default=Path(".warmboard"), help="the folder of all data (.warmboard)")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for name, command, text in (
        ("up", up, "start every part"),
        ("demo", demo, "start every part, train one run, wait until it is warm"),
    ):
        parser = commands.add_parser(name, help=text)
        parser.set_defaults(command=command)
        parser.add_argument("--logs", action="store_true", help="show all logs, interleaved")
    parser.add_argument("--exit", action="store_true", help="then stop everything and exit")
    parser.add_argument("--epochs", type=int, default=20, help="epochs to train (20)")
    parser.add_argument("--began", type=float, help="when set-up began, in seconds since 1970 (now)")
    parser = commands.add_parser("run", help="run a command in the environment of what is up")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="COMMAND ARG …")
    parser.set_defaults(command=run)
    commands.add_parser("down", help="end what is up").set_defaults(command=down)
    commands.add_parser("logs", help="follow all logs").set_defaults(command=logs)
    return top


_BEGAN = time.monotonic()

if __name__ == "__main__":
    sys.exit(main())
