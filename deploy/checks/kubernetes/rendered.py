"""What Kustomize makes of an overlay: every manifest, with its place in the files that it is made of."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy.checks.fault import Fault, UnreadableError
from deploy.checks.terraform import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
BROUGHT = ROOT / "build" / "kubectl" / "kubectl"
"""Where `make kubectl` puts one, if the machine has none."""
LOADER = yaml.CSafeLoader
"""Of libyaml, which takes a tenth of the time of Python's own."""
SECONDS = 60
GENERATED = re.compile(r"-[a-z0-9]{10}$")
"""The hash at the end of a generated name."""


@dataclass(frozen=True)
class Place:
    """One document of a file, or an entry of a generator: its lines, of which the first is ``begin``."""

    file: Path
    begin: int
    lines: Sequence[str]

    def line_of(self, words: Sequence[str]) -> int | None:
        """The number of the first line that has one of these words."""
        found = (number for number, line in enumerate(self.lines, self.begin) if any(word in line for word in words))
        return next(found, None)


@dataclass(frozen=True)
class Manifest:
    """One object as it reaches Kubernetes. ``name`` is without a generator's hash."""

    kind: str
    name: str
    given: Mapping[str, Any]
    places: Sequence[Place]

    def fault(self, text: str, *words: str) -> Fault:
        """A fault at the first line that has one of the words, or else at the object's beginning."""
        for place in self.places:
            if line := place.line_of(words):
                return Fault(place.file, line, f"{self.kind} {self.name}: {text}")
        first = self.places[0]
        return Fault(first.file, first.begin, f"{self.kind} {self.name}: {text}")

    @property
    def spec(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.given.get("spec", {})
        return found


def overlays(folder: Path = FOLDER) -> list[Path]:
    return sorted(path for path in (folder / "overlays").iterdir() if path.is_dir())


def rendered(overlay: Path) -> list[Manifest]:
    """Raises UnreadableError if Kustomize refuses the overlay."""
    # Go's garbage collector takes half of the time of a program that ends at once.
    environ = {**os.environ, "GOGC": "off"}
    command = [*_kustomize(), str(overlay)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=SECONDS)
    if done.returncode:
        raise UnreadableError(Fault(overlay / "kustomization.yaml", 1, " ".join(done.stderr.split())))
    places = list(_places(overlay))
    return [_manifest(given, places, overlay) for given in yaml.load_all(done.stdout, LOADER)]


def _kustomize() -> list[str]:
    """The command that renders. Raises UnreadableError if there is none."""
    if found := shutil.which("kustomize"):
        return [found, "build"]
    if found := shutil.which("kubectl") or shutil.which(str(BROUGHT)):
        return [found, "kustomize"]
    raise UnreadableError(Fault(FOLDER, 1, "neither kustomize nor kubectl is installed: make kubectl brings one"))


def _manifest(given: Mapping[str, Any], places: Sequence[tuple[str, str, Place]], overlay: Path) -> Manifest:
    kind, name = given["kind"], given["metadata"]["name"]
    if kind in ("ConfigMap", "Secret"):
        name = GENERATED.sub("", name)
    own = [place for of, called, place in places if (of, called) == (kind, name)]
    return Manifest(kind, name, given, own or [Place(overlay / "kustomization.yaml", 1, [])])


def _places(overlay: Path) -> Iterator[tuple[str, str, Place]]:
    """Kind, name and place of everything in the overlay's own files, then in those that it builds on."""
    folder = overlay.parents[1]
    for part in (overlay, *sorted((folder / "components").iterdir()), folder / "base"):
        for file in sorted(part.glob("*.yaml")):
            lines = file.read_text().splitlines()
            for node in yaml.compose_all(file.read_text(), Loader=LOADER):
                if isinstance(node, yaml.MappingNode):
                    yield from _named(node, file, lines)


def _named(node: yaml.MappingNode, file: Path, lines: Sequence[str]) -> Iterator[tuple[str, str, Place]]:
    kind, metadata = _value(node, "kind"), _value(node, "metadata")
    if isinstance(kind, yaml.ScalarNode) and isinstance(metadata, yaml.MappingNode):
        name = _value(metadata, "name")
        yield kind.value, name.value if name else "", _place(node, file, lines)
    maps = _value(node, "configMapGenerator")
    for entry in maps.value if maps else ():
        name = _value(entry, "name")
        yield "ConfigMap", name.value if name else "", _place(entry, file, lines)


def _value(node: yaml.MappingNode, key: str) -> Any:
    return next((value for name, value in node.value if name.value == key), None)


def _place(node: yaml.Node, file: Path, lines: Sequence[str]) -> Place:
    begin, end = node.start_mark.line, node.end_mark.line
    return Place(file, begin + 1, lines[begin:end])
