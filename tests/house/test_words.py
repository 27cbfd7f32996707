"""Words that CONTRIBUTING.md keeps out of code, pages and documents. The list is there, in its section "Words"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.paths import ROOT

FOLDERS = (
    *("warmboard", "trainer", "workers", "webapp", "store", "mlflow_server", "deploy"),
    *("tests", "benchmarks", "docs", ".ci"),
)
ENDINGS = {".py", ".js", ".css", ".html", ".md", ".yml", ".yaml", ".toml", ".sh", ".example", ".tf", ".tftpl"}
NAMES = {"Makefile", "Dockerfile", "run", ".dockerignore", ".editorconfig", ".gitignore"}
OTHERS = {"vendor", "examples", "migrations", "__pycache__"}
"""Folders with the texts of others, and with those that must stay as they are."""
ALLOWED = {
    "deploy/local/postgres.py:nobody",  # Unix's account of that name
    "store/models.py:is at it",  # a label of choices, which is in migrations
    "tests/house/test_words.py:is at it",  # this list
    "tests/house/test_words.py:nobody",
}
"""`file:phrase`, where a phrase must stay, with the reason beside it."""

CONTRIBUTING = ROOT / "CONTRIBUTING.md"
NUMBER = r"(?:[\d.]+|\$?\{[^}]*\})"
BETWEEN = r"[\W_]{1,40}"
"""Between two words of a phrase, also the end of a line and the comment sign of the next, or a name's underscore."""


def words_section() -> str:
    sections: list[str] = re.findall(r"^## Words\n.*?(?=^## |\Z)", CONTRIBUTING.read_text(), re.MULTILINE | re.DOTALL)
    [section] = sections
    return section


def phrases() -> list[str]:
    """The quoted phrases in the first column of the section's tables."""
    firsts = re.findall(r"^\| (.*?) \|", words_section(), re.MULTILINE)
    return [phrase for first in firsts for phrase in re.findall(r'"([^"]+)"', first)]


def expression(phrase: str) -> str:
    """Of a phrase, in whatever lines, quotation marks or capitals; a number in it stands for any."""
    words = re.findall(r"[\w.'-]*\w", phrase)
    return BETWEEN.join(NUMBER if re.fullmatch(r"[\d.]+", word) else re.escape(word) for word in words)


BANNED = re.compile(rf"(?<![^\W_])(?:{'|'.join(expression(phrase) for phrase in phrases())})(?![^\W_])", re.IGNORECASE)


def written() -> Iterator[Path]:
    files = list(ROOT.iterdir())
    for folder in FOLDERS:
        files += (ROOT / folder).rglob("*")
    for path in sorted(files):
        if (path.suffix in ENDINGS or path.name in NAMES) and path.is_file() and not OTHERS & set(path.parts):
            yield path


def found(text: str) -> Iterator[tuple[int, str]]:
    """Line numbers, from 1, and what was found there."""
    for match in BANNED.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, match.group()


def test_no_text_has_a_banned_word() -> None:
    bad: list[str] = []
    for path in written():
        name = str(path.relative_to(ROOT))
        text = path.read_text()
        if path == CONTRIBUTING:
            text = text.replace(words_section(), "\n" * words_section().count("\n"))
        lines = text.splitlines()
        bad += [
            f"{name}:{line}: {lines[line - 1].strip()}"
            for line, phrase in found(text)
            if f"{name}:{phrase.lower()}" not in ALLOWED
        ]
    assert not bad, "\n".join([f"{len(bad)} phrases that CONTRIBUTING.md's section Words bans:", *bad])


def test_the_list_is_read() -> None:
    assert len(phrases()) > 30
    assert len(list(written())) > 300


@pytest.mark.parametrize("phrase", phrases())
def test_each_phrase_of_the_list_is_found(phrase: str) -> None:
    assert list(found(f"# First line.\n# {phrase.upper()}\n")) != []


def test_a_phrase_is_found_across_lines_and_with_any_number() -> None:
    [across, number] = (phrases()[index] for index in (-2, -1))
    assert [line for line, _ in found("# one\n# " + across.replace(" ", "\n# "))] == [2]
    assert [line for line, _ in found(re.sub(r"[\d.]+", "{value:g}", number))] == [1]
