"""``warmboard``, or ``python -m warmboard``: sends values that earlier trainings could not send; announces runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

DESCRIPTION = "Send values that earlier trainings could not send, and announce runs."
EXAMPLES = """\
examples:
  warmboard flush                    send all spools in SPOOL_DIR to MLflow
  warmboard flush --list             only list the spools
  warmboard publish RUN_ID           announce a run that has ended in MLflow
  warmboard publish gs://BUCKET/runs/RUN_ID/mlflow_info.json

Each command has its own --help."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="warmboard",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    commands.add_parser("flush", add_help=False, help="send the values of earlier trainings that are not in MLflow yet")
    commands.add_parser("publish", add_help=False, help="announce an earlier run, or announce it again")
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = parser.parse_known_args(words[:1])[0].command
    if command == "flush":
        from warmboard.run.flush import main as run
    else:
        from warmboard.announce.command import main as run
    return run(words[1:])


if __name__ == "__main__":
    sys.exit(main())
