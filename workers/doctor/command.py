"""``python -m workers doctor``."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from warmboard.contract.settings import DATABASE_URL, SettingError
from workers.doctor import environment
from workers.doctor.environment import Environment
from workers.doctor.finding import Level
from workers.doctor.report import as_json, as_table, columns_of, failed
from workers.settings import setup_django

SECONDS = 15.0
"""Longer than a check takes by its own timeouts."""
DATABASE, NO_DATABASE = DATABASE_URL.name, "sqlite:///:memory:"

EXAMPLES = """examples:
  python -m workers doctor                  look at everything
  python -m workers doctor --quiet          show only what is wrong
  python -m workers doctor --json | jq '.findings[] | select(.level == "failure")'
  docker compose run --rm --no-deps worker doctor

The exit status is 1 if anything failed. Warnings don't count. Nothing is changed, and secrets are not shown."""


def add_to(commands: Any) -> None:
    """Add the command to the parser's."""
    doctor = commands.add_parser(
        "doctor",
        help="something is wrong: look at every dependency and setting, and say what to do",
        description="Look at every dependency, setting, version, index, clock and permission, all at the same time, and"
        " say for each fault what causes it and how to fix it.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    doctor.add_argument("--json", action="store_true", help="for programs")
    doctor.add_argument("--quiet", action="store_true", help="show only warnings and failures")
    doctor.add_argument(
        "--seconds", type=float, default=SECONDS, help="the max time of all checks together (default: %(default).0f)"
    )
    doctor.set_defaults(command=diagnose)


def diagnose(args: argparse.Namespace) -> int:
    """Print the findings; returns 1 if anything failed, else 0. Needs no valid setting."""
    # Libraries log what the findings say.
    logging.disable(logging.CRITICAL)
    given = dict(os.environ)
    found = prepared(environment.read(given))
    # Imported now: the store's tables need their settings.
    from workers.doctor.run import examine

    findings = examine(found, given, args.seconds)
    shown = [finding for finding in findings if finding.level is not Level.OK] if args.quiet else findings
    if args.json:
        print(as_json(shown))
    else:
        colours, columns = columns_of(sys.stdout, given)
        print(as_table(shown, colours=colours, columns=columns))
    return int(failed(findings))


def prepared(found: Environment) -> Environment:
    """Set up Django without the settings that can't be used, which this process then no longer has."""
    for name in found.invalid:
        os.environ.pop(name, None)
    if DATABASE in found.invalid:
        os.environ[DATABASE] = NO_DATABASE
    try:
        setup_django()
    except SettingError as error:
        return prepared(found.without(environment.named(error), str(error)))
    except (ImproperlyConfigured, OSError, ValueError) as error:
        return prepared(found.without(frozenset([DATABASE]), f"{DATABASE} can't be used: {error}"))
    return found
