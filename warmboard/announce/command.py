"""``warmboard publish``: announces an earlier run by its ID, or by its ``mlflow_info.json``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from warmboard import storage
from warmboard.announce.by_id import event_of_run
from warmboard.announce.publisher import publish
from warmboard.contract.events import RUN_ID, RunEvent
from warmboard.contract.info import FILE_NAME, RunInfo, RunInfoError
from warmboard.contract.settings import SettingError
from warmboard.errors import PublishError, WarmboardError
from warmboard.settings import Settings
from warmboard.tracking import TrackingClient

EXAMPLES = """\
examples:
  warmboard publish RUN_ID           a run that has ended in MLflow
  warmboard publish gs://BUCKET/runs/RUN_ID/mlflow_info.json"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``warmboard publish`` and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="warmboard publish",
        description="Announce an earlier run, or announce it again: publish its completed event.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", help=f"the run's ID in MLflow, or its {FILE_NAME}: a path or gs://…")
    run = parser.parse_args(arguments).run
    try:
        settings = Settings.read()
        by_id = RUN_ID.fullmatch(run) and not Path(run).exists()
        event = event_of_run(run, settings, TrackingClient.of(settings)) if by_id else _event_of_file(run, settings)
        message = publish(event, settings)
    except (WarmboardError, RunInfoError, SettingError) as error:
        print(f"Not published. {error}", file=sys.stderr)
        return 1
    print(f"Published run {event.run_id} ({event.status}) as message {message}.")
    return 0


def _event_of_file(uri: str, settings: Settings) -> RunEvent:
    """Raises StorageError, RunInfoError, PublishError."""
    info = RunInfo.decode(storage.read(uri, settings.storage_emulator_host))
    if info.end_time is None:
        raise PublishError(f"run {info.run_id} has not ended: its {FILE_NAME} says {info.status}")
    return info.event(uri if "://" in uri else storage.join(uri))


if __name__ == "__main__":
    sys.exit(main())
