"""The deployment's files, parsed like a container engine does: Compose file, .env.example, Dockerfiles."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from tests.paths import ROOT

PROGRAMS = sorted(path.parent.name for path in ROOT.glob("*/Dockerfile"))
COMPOSE = (ROOT / "docker-compose.yml").read_text()
VARIABLE = re.compile(r"\$(?:(?P<escaped>\$)|\{(?P<name>\w+)(?P<operator>:[-?])?(?P<operand>[^}]*)\}|(?P<bare>\w+))")
LIBRARY = "warmboard"
CONTRACT = {"warmboard/__init__.py", "warmboard/contract"}
# Long enough for every secret, and easy to find where one is written out.
SECRET = "sample-secret-" * 4


def interpolated(text: str) -> str:
    """The text with its variables replaced as by Compose: required ones by SECRET, others by their defaults."""

    def replace(found: re.Match[str]) -> str:
        if found["escaped"]:
            return "$"
        return found["operand"] if found["operator"] == ":-" else SECRET

    return VARIABLE.sub(replace, text)


def services() -> dict[str, dict[str, Any]]:
    """Every service of the Compose file, variables replaced and anchors merged."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(interpolated(COMPOSE))["services"]
    return found


def program(service: Mapping[str, Any]) -> str | None:
    """Our program in a service's image, or None if the image is not ours."""
    return str(Path(service["build"]["dockerfile"]).parent) if "build" in service else None


def command(service: Mapping[str, Any]) -> list[str]:
    """The command of a service with our image: its entry point with the service's command or the image's."""
    image = Dockerfile.of(service["build"]["dockerfile"])
    return [*image.exec_form("ENTRYPOINT"), *(service.get("command") or image.exec_form("CMD"))]


@dataclass(frozen=True)
class Dockerfile:
    """The instructions of one Dockerfile, stage by stage, without comments and line ends."""

    program: str
    stages: list[list[tuple[str, str]]] = field(default_factory=list)
    global_args: dict[str, str] = field(default_factory=dict)
    """The ARGs before the first FROM, with their defaults."""

    @classmethod
    def of(cls, path: str) -> Dockerfile:
        dockerfile = cls(str(Path(path).parent))
        lines = [line for line in (ROOT / path).read_text().splitlines() if not line.lstrip().startswith("#")]
        for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
            keyword, _, rest = line.strip().partition(" ")
            if keyword == "FROM":
                dockerfile.stages.append([])
            if keyword == "ARG" and not dockerfile.stages:
                name, _, default = rest.strip().partition("=")
                dockerfile.global_args[name] = default
            elif keyword:
                dockerfile.stages[-1].append((keyword, rest.strip()))
        return dockerfile

    def all(self, keyword: str) -> list[str]:
        """The arguments of an instruction in every stage."""
        return [rest for stage in self.stages for found, rest in stage if found == keyword]

    def last(self, keyword: str) -> list[str]:
        """The arguments of an instruction in the last stage, which becomes the image."""
        return [rest for found, rest in self.stages[-1] if found == keyword]

    def exec_form(self, keyword: str) -> list[str]:
        """The last ENTRYPOINT, CMD or HEALTHCHECK as a list of words; fails on the shell form."""
        found = self.last(keyword)
        return list(json.loads(found[-1][found[-1].index("[") :])) if found else []

    def environment(self) -> dict[str, str]:
        return dict(word.split("=", 1) for rest in self.last("ENV") for word in shlex.split(rest))

    def copies(self) -> list[tuple[str, str]]:
        """(source in the checkout, target in the image), of every stage."""
        pairs = []
        for rest in self.all("COPY"):
            *sources, target = rest.split()
            if not sources[0].startswith("--from="):
                pairs += [(source, target) for source in sources]
        return pairs

    def copied_code(self) -> dict[str, str]:
        """Folders and Python modules of ours: path in the checkout and path in the image, neither with a last slash."""
        pairs = {}
        for source, target in self.copies():
            if (ROOT / source).is_dir():
                pairs[source] = target.rstrip("/")
            elif source.endswith(".py"):
                pairs[source] = f"{target.rstrip('/')}/{Path(source).name}"
        return pairs


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps a path out of the build: the last pattern that fits decides."""
    out = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!").removeprefix("**/")
        if not line or line.startswith("#"):
            continue
        parts = PurePosixPath(path).parts
        names = parts if "**/" in line else parts[:1]
        if any(fnmatch(name, pattern) for name in names):
            out = not line.startswith("!")
    return out


def own_packages() -> set[str]:
    return {path.parent.name for path in ROOT.glob("*/__init__.py")}


def imports(path: str) -> set[str]:
    """Every module that a folder's files or one file of ours import, wherever in them; not what is for types alone.

    ``from a.b import c`` is told as ``a.b.c``.
    """
    found: set[str] = set()
    for file in [ROOT / path] if path.endswith(".py") else (ROOT / path).rglob("*.py"):
        for node in _running(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        yield from _running(node)


def reached(package: str) -> set[str]:
    """The folders and files of ours that a program needs: its package, what that imports, and what those import.

    A program that imports only `warmboard.contract` needs that and ``warmboard/__init__.py``, which imports the rest
    of the library only when it is used. Any other import of the library needs all of it.
    """
    known, todo = set[str](), {package}
    while todo:
        name = todo.pop()
        known.add(name)
        todo |= {needed for module in imports(name) for needed in _needed(module)} - known
    return known - CONTRACT if LIBRARY in known else known


def _needed(module: str) -> set[str]:
    top = module.partition(".")[0]
    if f"{module}.".startswith("warmboard.contract."):
        return CONTRACT
    return {top} & own_packages()


def provided(requirements: str) -> set[str]:
    """Every module that the distributions of a requirements file bring, by what is installed here."""
    modules: set[str] = set()
    for name in re.findall(r"^([\w.-]+)==", requirements, re.M):
        try:
            files = distribution(name).files or []
        except PackageNotFoundError:  # for another platform
            continue
        for file in files:
            if file.suffix in (".py", ".so"):
                module = file.parent / file.name.partition(".")[0]
                modules.add(".".join((module.parent if module.name == "__init__" else module).parts))
    return modules
