"""Run all checks: ``python -m deploy.checks [FOLDER]``. Exits with 1 if one finds a fault."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from deploy.checks import cloud_run, identities, messaging, metrics, references, schema
from deploy.checks.fault import Fault, UnreadableError
from deploy.checks.plan import plan
from deploy.checks.terraform import FOLDER, ROOT, environments


def faults(folder: Path = FOLDER) -> list[Fault]:
    """What all checks find in the Terraform files of a folder. A file that can't be read is a fault."""
    try:
        return sorted(set(_syntax(folder))) or sorted(set(_planned(folder)))
    except UnreadableError as error:
        return [error.fault]


def _syntax(folder: Path) -> Iterator[Fault]:
    yield from schema.faults(folder)
    yield from references.faults(folder)
    yield from metrics.faults(folder)


def _planned(folder: Path) -> Iterator[Fault]:
    """What only shows once names have values. Without faults of the first kind, all have."""
    plans = [plan(environment) for environment in environments(folder)]
    yield from identities.faults(plans)
    for planned in plans:
        yield from cloud_run.faults(planned)
        yield from messaging.faults(planned)


def main(words: list[str]) -> int:
    found = faults(*map(Path, words[:1]))
    for fault in found:
        print(fault.shown(ROOT))
    print(f"deploy/gcp/terraform: {len(found) or 'no'} faults", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
