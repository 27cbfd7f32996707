"""The workers' command line."""

from __future__ import annotations

import sys

if __name__ == "__main__" and sys.argv[1:2] == ["check"]:
    # Before the imports below, which take ten times as long as the check itself.
    from workers.health.check import main as check

    if (status := check(sys.argv[2:])) is not None:
        sys.exit(status)

import argparse
import os
from datetime import datetime
from typing import Any, NoReturn

from store import logs
from warmboard.contract.settings import FLOWER_DB, SettingError
from workers.doctor.command import add_to as add_doctor
from workers.doctor.command import diagnose
from workers.health.check import PROCESSES
from workers.health.check import main as check_process
from workers.settings import Settings, settings, setup_django
from workers.signals import stop_event

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
  python -m workers seek --to TIME          have Pub/Sub deliver again what was published since; seek --help has more
  python -m workers setup --check           compare topic and subscriptions with their declaration
  python -m workers redrive                 take up messages that Pub/Sub gave up delivering
  python -m workers check subscriber        health check, by exit status

settings come from environment variables; docs/reference/settings.md lists them."""
REPLAY_EXAMPLES = """examples:
  python -m workers replay --run RUN_ID
  python -m workers replay --failed --dry-run
  python -m workers replay --since 2026-01-02T10:00Z --until 2026-01-02T12:00Z
  python -m workers replay --experiment NAME --failed
  python -m workers replay --all --wait 0"""
FLOWER = {
    "FLOWER_PERSISTENT": "true",
    "FLOWER_MAX_TASKS": "10000",
    "FLOWER_STATE_SAVE_INTERVAL": "60000",
    # Every worker has a new name.
    "FLOWER_PURGE_OFFLINE_WORKERS": "3600",
}
"""What Flower reads itself, unless the environment says otherwise: in milliseconds and seconds."""
SEEK_EXAMPLES = """examples:
  python -m workers seek --to 2026-01-02T10:00Z --dry-run
  python -m workers seek --to 2026-01-02T10:00Z
  python -m workers snapshot create before-upgrade
  python -m workers seek --snapshot before-upgrade"""


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
        logs.configure(configured.log_level, configured.log_format, configured.project)
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
    worker.add_argument(
        "--concurrency",
        type=int,
        help="processes (default: one more than there are tracking servers, so that none can use them all)",
    )
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
    _add_pubsub(commands)
    warm = commands.add_parser("warm", help="warm runs in this process, announced or not")
    which = warm.add_mutually_exclusive_group(required=True)
    which.add_argument("runs", nargs="*", default=[], metavar="RUN_ID", help="MLflow run IDs")
    which.add_argument("--experiment", metavar="NAME", help="all runs of this MLflow experiment")
    which.add_argument(
        "--all",
        action="store_true",
        help="all runs of the server that have ended and are not warm, the newest first; stopped and started again, it"
        " goes on where it was",
    )
    warm.add_argument("--rate", type=_rate, metavar="N", help="at most N runs a second (default: as fast as it goes)")
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


def _add_pubsub(commands: Any) -> None:
    seek = commands.add_parser(
        "seek",
        help="have Pub/Sub deliver past messages again",
        description="Seek the subscription to a time or a snapshot: records a request, which a subscriber performs, and"
        " waits for its outcome. Each event that Pub/Sub then delivers again is warmed again, once for each seek.",
        epilog=SEEK_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    target = seek.add_mutually_exclusive_group(required=True)
    target.add_argument("--to", type=_moment, metavar="TIME", help="messages published at or after this time")
    target.add_argument("--snapshot", metavar="NAME", help="messages that were unacknowledged then, and all later ones")
    seek.add_argument("--drop", action="store_true", help="drop messages that no subscriber has received yet")
    seek.add_argument("--dry-run", action="store_true", help="only show what the inbox has of that range")
    snapshot = commands.add_parser("snapshot", help="make, list or delete snapshots of the subscription")
    actions = snapshot.add_subparsers(required=True, metavar="ACTION", dest="action")
    for action, text in (("create", "make a snapshot, which lasts 7 days"), ("delete", "delete a snapshot")):
        one = actions.add_parser(action, help=text)
        one.add_argument("name", metavar="NAME", help="3 to 100 letters, digits, and . _ ~ + -")
        _add_wait(one)
    actions.add_parser("list", help="show the snapshots, as a subscriber last saw them")
    _add_wait(seek)
    seek.set_defaults(command=seek_subscription)
    snapshot.set_defaults(command=use_snapshots)
    setup = commands.add_parser(
        "setup",
        help="create or change topic and subscriptions as they are declared",
        description="Create topic and subscriptions, with those of dead letters, or change them as declared in"
        " workers/pubsub/declaration.json, and show what differed.",
    )
    setup.add_argument("--check", action="store_true", help="only compare; exits with 1 if something differs")
    setup.set_defaults(command=set_up_pubsub)
    redrive = commands.add_parser(
        "redrive",
        help="take up parked dead letters, and unreadable messages that this version can read",
    )
    redrive.add_argument("--dry-run", action="store_true", help="only show them")
    redrive.set_defaults(command=redrive_letters)


def _add_wait(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wait", type=float, default=60, help="wait so many seconds for the outcome; 0: don't (default: 60)"
    )


def _moment(text: str) -> datetime:
    try:
        moment: datetime | None = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time with a time zone, such as 2026-01-02T10:00Z")
    return moment


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0.001 <= rate <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of runs a second between 0.001 and 1000")
    return rate


def subscribe(_: argparse.Namespace, configured: Settings) -> int:
    # First: the imports below take a second, and a signal must not be lost meanwhile.
    stop = stop_event()
    from google.auth.exceptions import GoogleAuthError

    from workers import tracing
    from workers.health import metrics
    from workers.health.server import serve_health
    from workers.subscriber import subscribe as listen

    try:
        metrics.share(configured)
        metrics.serve(configured)
        serve_health("subscriber")
        tracing.begin("warmboard-subscriber", configured.traces_collector)
        listen(configured, stop)
    except GoogleAuthError as error:
        hint = "PUBSUB_EMULATOR_HOST is unset, so Google's Pub/Sub is used"
        print(f"workers subscribe: no credentials ({hint}): {error}", file=sys.stderr)
        return 1
    return 0


def run_worker(args: argparse.Namespace, configured: Settings) -> NoReturn:
    from workers.processes import unique_name

    name = f"--hostname={unique_name()}"
    processes = args.concurrency or len(configured.tracking_servers) + 1
    _celery("worker", "--events", name, f"--concurrency={processes}", f"--loglevel={configured.log_level}")


def run_beat(args: argparse.Namespace, configured: Settings) -> NoReturn:
    _celery("beat", f"--schedule={args.schedule}", "--pidfile=", f"--loglevel={configured.log_level}")


def run_flower(_: argparse.Namespace, configured: Settings) -> NoReturn:
    file = FLOWER_DB.read()
    file.parent.mkdir(parents=True, exist_ok=True)
    for name, value in {"FLOWER_DB": str(file), **FLOWER}.items():
        os.environ.setdefault(name, value)
    _celery("flower", f"--logging={configured.log_level.lower()}", module="workers.flower")


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


def seek_subscription(args: argparse.Namespace, _: Settings) -> int:
    from warmboard.contract.subscription import Action
    from workers.pubsub.command import ask, show

    wish = {"action": Action.SEEK, "to": args.to, "snapshot": args.snapshot, "drop": args.drop}
    return show(wish) if args.dry_run else ask(wish, args.wait)


def use_snapshots(args: argparse.Namespace, _: Settings) -> int:
    from warmboard.contract.subscription import Action
    from workers.pubsub.command import ask, list_snapshots

    if args.action == "list":
        return list_snapshots()
    return ask({"action": Action(f"{args.action}-snapshot"), "snapshot": args.name}, args.wait)


def set_up_pubsub(args: argparse.Namespace, configured: Settings) -> int:
    from workers.pubsub.command import set_up

    return set_up(configured, check=args.check)


def redrive_letters(args: argparse.Namespace, _: Settings) -> int:
    from workers.pubsub.command import redrive

    return redrive(dry_run=args.dry_run)


def warm_runs(args: argparse.Namespace, configured: Settings) -> int:
    from django.db import DatabaseError

    from workers.discover.backfill import cold_runs
    from workers.errors import WarmError
    from workers.warm.attempt import server_named
    from workers.warm.command import runs_of, warm_now

    try:
        server = server_named(args.server or configured.tracking_server, configured)
        runs = args.runs or (
            cold_runs(server, configured) if args.all else runs_of(args.experiment, server, configured)
        )
        report = warm_now(runs, server, configured, args.rate)
    except (WarmError, DatabaseError) as error:
        print(f"workers warm: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        again = "; start it again to go on" if args.all else ""
        print(f"workers warm: stopped{again}", file=sys.stderr)
        return 130
    for line in report.reasons():
        print(line, file=sys.stderr)
    print(report)
    return 1 if report.failed else 0


def _celery(*arguments: str, module: str = "celery") -> NoReturn:
    os.execv(sys.executable, [sys.executable, "-m", module, "-A", "workers.queue", *arguments])  # noqa: S606


if __name__ == "__main__":
    sys.exit(main())
