"""The workers' command line."""

from __future__ import annotations

import sys

if __name__ == "__main__" and sys.argv[1:2] == ["check"]:
    # Before the imports below, which take ten times as long as the check itself.
    from workers.health.check import main as check

    if (status := check(sys.argv[2:])) is not None:
        sys.exit(status)

import argparse
import logging
import os
import signal
import threading
from datetime import datetime
from typing import Any, NoReturn

from warmboard.contract.settings import SettingError
from workers.doctor.command import add_to as add_doctor
from workers.doctor.command import diagnose
from workers.health.check import PROCESSES
from workers.health.check import main as check_process
from workers.settings import Settings, settings, setup_django

DESCRIPTION = "Warm MLflow runs: receive their events, fetch and sample their histories, and store them."
EXAMPLES = """examples:
  python -m workers subscribe               listen for run events (one process)
  python -m workers worker                  warm runs (Celery; any number of processes)
  python -m workers beat                    sweep for unfinished events and unannounced runs (one process)
  python -m workers flower                  watch the tasks in a browser, on FLOWER_PORT (5555)
  python -m workers warm RUN_ID             warm a run in this process, announced or not
  python -m workers warm --experiment NAME  warm all runs of an experiment
  python -m workers discover --dry-run      show runs that no event announced; without --dry-run, queue them
  python -m workers replay --run RUN_ID     warm a run again from its event
  python -m workers replay --failed         warm again all runs with failed events; replay --help has more
  python -m workers doctor                  something is wrong: find the cause and the fix
  python -m workers check subscriber        health check, by exit status

settings come from environment variables; docs/reference/settings.md lists them."""
REPLAY_EXAMPLES = """examples:
  python -m workers replay --run RUN_ID
  python -m workers replay --failed --dry-run
  python -m workers replay --since 2026-01-02T10:00Z --until 2026-01-02T12:00Z
  python -m workers replay --experiment NAME --failed
  python -m workers replay --all --wait 0"""
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def main() -> int:
    """Run one command; returns its exit status: 0, 1 with a reason, or 2 for wrong usage."""
    args = parser().parse_args()
    if args.command is diagnose:
        # Before all settings are read: it looks at those that can't be used, too.
        status = diagnose(args)
        sys.stdout.flush()
        # At once: a library that hangs on its server would delay an orderly end.
        os._exit(status)
    try:
        configured = settings()
        setup_django()
        logging.basicConfig(level=configured.log_level, format=LOG_FORMAT)
        logging.getLogger("google.cloud.pubsub_v1").setLevel(logging.WARNING)
        return int(args.command(args, configured) or 0)
    except SettingError as error:
        print(f"workers: {error}", file=sys.stderr)
        return 2


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    top = argparse.ArgumentParser(
        "python -m workers",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("subscribe", help="listen for run events").set_defaults(command=subscribe)
    worker = commands.add_parser("worker", help="warm runs (Celery worker)")
    worker.add_argument("--concurrency", type=int, default=2, help="processes (default: 2)")
    worker.set_defaults(command=run_worker)
    beat = commands.add_parser("beat", help="sweep for unfinished events and unannounced runs (Celery beat)")
    beat.add_argument(
        "--schedule", default=".warmboard/celerybeat", help="the file where beat keeps its times (default: %(default)s)"
    )
    beat.set_defaults(command=run_beat)
    commands.add_parser("flower", help="watch the tasks in a browser").set_defaults(command=run_flower)
    discover = commands.add_parser(
        "discover", help="look once for runs that no event announced, and for changed ones, as beat does regularly"
    )
    discover.add_argument("--dry-run", action="store_true", help="only show the runs")
    discover.set_defaults(command=discover_runs)
    _add_replay(commands)
    warm = commands.add_parser("warm", help="warm runs in this process, announced or not")
    which = warm.add_mutually_exclusive_group(required=True)
    which.add_argument("runs", nargs="*", default=[], metavar="RUN_ID", help="MLflow run IDs")
    which.add_argument("--experiment", metavar="NAME", help="all runs of this MLflow experiment")
    warm.add_argument(
        "--server", metavar="NAME", help="the tracking server's name (default: the server at MLFLOW_TRACKING_URI)"
    )
    warm.set_defaults(command=warm_runs)
    add_doctor(commands)
    check = commands.add_parser("check", help="health check of one process on this machine")
    check.add_argument("process", choices=PROCESSES)
    check.set_defaults(command=lambda args, _: check_process([args.process]))
    return top


def _add_replay(commands: Any) -> None:
    replay = commands.add_parser(
        "replay",
        help="warm runs again from their events",
        description="Warm again the runs for which all given criteria hold: records a request, which the workers "
        "carry out 100 runs at a time, behind all events, and waits. Stopping the command doesn't stop the replay. "
        "Always safe, also repeated.",
        epilog=REPLAY_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    replay.add_argument("--run", metavar="RUN_ID", help="this MLflow run")
    replay.add_argument("--failed", action="store_true", help="runs with a failed event")
    replay.add_argument("--since", type=_moment, metavar="TIME", help="with an event received at or after this time")
    replay.add_argument("--until", type=_moment, metavar="TIME", help="with an event received before this time")
    replay.add_argument("--experiment", metavar="NAME", help="runs of this MLflow experiment")
    replay.add_argument("--all", action="store_true", help="every run")
    replay.add_argument("--dry-run", action="store_true", help="only show the runs")
    replay.add_argument(
        "--wait",
        type=float,
        default=60,
        help="give up waiting after this many seconds without progress; 0: don't wait (default: 60)",
    )
    replay.set_defaults(command=replay_runs)


def _moment(text: str) -> datetime:
    try:
        moment: datetime | None = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time with a time zone, such as 2026-01-02T10:00Z")
    return moment


def subscribe(_: argparse.Namespace, configured: Settings) -> int:
    # Handlers first: the imports below take a second, and a signal must not be lost meanwhile.
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    from google.auth.exceptions import GoogleAuthError

    from workers.health.server import serve_health
    from workers.subscriber import subscribe as listen

    try:
        serve_health("subscriber")
        listen(configured, stop)
    except GoogleAuthError as error:
        hint = "PUBSUB_EMULATOR_HOST is unset, so Google's Pub/Sub is used"
        print(f"workers subscribe: no credentials ({hint}): {error}", file=sys.stderr)
        return 1
    return 0


def run_worker(args: argparse.Namespace, configured: Settings) -> NoReturn:
    _celery("worker", "--events", f"--concurrency={args.concurrency}", f"--loglevel={configured.log_level}")


def run_beat(args: argparse.Namespace, configured: Settings) -> NoReturn:
    _celery("beat", f"--schedule={args.schedule}", "--pidfile=", f"--loglevel={configured.log_level}")


def run_flower(_: argparse.Namespace, configured: Settings) -> NoReturn:
    _celery("flower", f"--logging={configured.log_level.lower()}")


def discover_runs(args: argparse.Namespace, configured: Settings) -> int:
    from django.db import DatabaseError

    from workers.discover.discovery import SAYS, Discovery
    from workers.queue import dispatch_later, give_up_on_slow_broker

    give_up_on_slow_broker()
    try:
        report = Discovery.of(configured, dispatch_later).turn(dry_run=args.dry_run)
    except DatabaseError as error:
        print(f"workers discover: the database is down: {error}", file=sys.stderr)
        return 1
    for event in report.events:
        print(f"run {event.run_id} ({event.status}, {event.experiment_name}) {SAYS[event.type]}")
    print(report)
    return 1 if report.down else 0


def replay_runs(args: argparse.Namespace, _: Settings) -> int:
    from django.db import DatabaseError

    from warmboard.contract.cloudevents import EventError
    from warmboard.contract.replay import Selection
    from workers.queue import give_up_on_slow_broker
    from workers.replay.command import ReplayError, replay, show

    give_up_on_slow_broker()
    try:
        selection = Selection(
            run_id=args.run,
            experiment_name=args.experiment,
            failed=args.failed,
            since=args.since,
            until=args.until,
            everything=args.all,
        )
        if args.dry_run:
            show(selection)
            return 0
        return 1 if replay(selection, args.wait) else 0
    except EventError as error:
        print(f"workers replay: {error}; see python -m workers replay --help", file=sys.stderr)
        return 2
    except (ReplayError, DatabaseError) as error:
        print(f"workers replay: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("workers replay: stopped waiting; the replay goes on", file=sys.stderr)
        return 130


def warm_runs(args: argparse.Namespace, configured: Settings) -> int:
    from workers.errors import WarmError
    from workers.warm.attempt import server_named
    from workers.warm.command import runs_of, warm_now

    try:
        server = server_named(args.server or configured.tracking_server, configured)
        runs = args.runs or runs_of(args.experiment, server, configured)
    except WarmError as error:
        print(f"workers warm: {error}", file=sys.stderr)
        return 1
    report = warm_now(runs, server, configured)
    print(report)
    return 1 if report.failed else 0


def _celery(*arguments: str) -> NoReturn:
    os.execv(sys.executable, [sys.executable, "-m", "celery", "-A", "workers.queue", *arguments])  # noqa: S606


if __name__ == "__main__":
    sys.exit(main())
