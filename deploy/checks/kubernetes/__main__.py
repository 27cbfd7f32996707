"""Run all checks of the manifests: ``python -m deploy.checks.kubernetes [FOLDER]``. Exits with 1 for a fault."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from deploy.checks import programs
from deploy.checks.fault import Fault, UnreadableError
from deploy.checks.kubernetes import network, references, schema, security
from deploy.checks.kubernetes.rendered import FOLDER, Manifest, overlays, rendered
from deploy.checks.kubernetes.workloads import containers
from deploy.checks.terraform import ROOT


def faults(folder: Path = FOLDER) -> list[Fault]:
    """What all checks find in the overlays of a folder. One that Kustomize refuses is a fault."""
    found: set[Fault] = set()
    for overlay in overlays(folder):
        try:
            manifests = rendered(overlay)
        except UnreadableError as error:
            found.add(error.fault)
        else:
            # The others rely on the fields that the schemas require.
            found |= set(schema.faults(manifests)) or set(_of_meaning(manifests, overlay.name))
    return sorted(found)


def _of_meaning(manifests: Sequence[Manifest], overlay: str) -> Iterator[Fault]:
    yield from programs.faults(containers(manifests))
    yield from security.faults(manifests)
    yield from references.faults(manifests, references.created(overlay))
    yield from network.faults(manifests)


def main(words: list[str]) -> int:
    found = faults(*map(Path, words[:1]))
    for fault in found:
        print(fault.shown(ROOT))
    print(f"deploy/kubernetes: {len(found) or 'no'} faults", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
