"""Links, files, make targets, commands and variables that the documents name exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.paths import ROOT
from warmboard.contract.settings import SETTINGS
from workers.__main__ import parser as workers_parser

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
FOLDERS = [path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")]
WRITTEN = "benchmarks/results/"
"""Files there are not committed."""
MADE_OF_THEM = "commands.md"
"""The page that the commands themselves write."""
OTHERS = {
    "FLOWER_BASIC_AUTH",
    "COMPOSE_PROFILES",
    "FLOWER_MAX_TASKS",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_SERVICE_NAME",
    "REQUESTS_CA_BUNDLE",
    "TEST_PROCESSES",
}
"""Variables that libraries read, or our tests."""
COMPOSE = set(re.findall(r"\$\{([A-Z_]+):-", (ROOT / "docker-compose.yml").read_text()))
"""Variables that the Compose file reads."""


def found(pattern: str) -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for match in re.findall(pattern, page.read_text()):
            yield page, match


def test_links_lead_somewhere() -> None:
    links = list(found(r"\]\(([^)#]+?)(?:#[^)]*)?\)"))
    assert links
    dead = [f"{page.name}: {link}" for page, link in links if "://" not in link and not (page.parent / link).exists()]
    assert dead == []


def anchor(heading: str) -> str:
    """GitHub's anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_anchors_lead_somewhere() -> None:
    links = list(found(r"\]\(([^):]*#[^)]*)\)"))
    assert links
    dead = []
    for page, link in links:
        target, _, name = link.partition("#")
        text = (page.parent / target if target else page).read_text()
        if name not in map(anchor, re.findall(r"^#+ (.+)$", text, re.MULTILINE)):
            dead.append(f"{page.name}: {link}")
    assert dead == []


def test_files_that_are_named_exist() -> None:
    names = list(found(rf"`((?:{'|'.join(FOLDERS)})/[\w./*-]+)`"))
    assert names
    # A word in capitals stands for any name.
    patterns = {re.sub("[A-Z]{4,}", "*", name).rstrip("/") for _, name in names if not name.startswith(WRITTEN)}
    assert [pattern for pattern in sorted(patterns) if not list(ROOT.glob(pattern))] == []


def test_make_targets_exist() -> None:
    rules = re.findall(r"^([a-z -]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    targets = {target for rule in rules for target in rule.split()}
    named = {target for _, target in found(r"(?:`|^|\n)make ([a-z-]+)")}
    assert {"demo", "test", "up", "train"} <= named <= targets


@pytest.mark.parametrize(
    "arguments",
    sorted({text for page, text in found(r"python -m workers ([a-z][^`\n|]*)") if page.name != MADE_OF_THEM}),
    ids=lambda text: text,
)
def test_commands_of_the_workers_are_understood(arguments: str) -> None:
    workers_parser().parse_args(shlex.split(arguments))


def test_variables_exist() -> None:
    named = {name for _, name in found(r"`([A-Z]+_[A-Z_]+)`")}
    assert named
    assert named - OTHERS - COMPOSE <= SETTINGS.keys()
