"""What Biome has no rule for, in the pages' scripts and style sheets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

STATIC = Path("webapp/static/webapp")
SOURCES = sorted(path for path in STATIC.rglob("*") if path.suffix in {".js", ".css"})
SCRIPTS = [path for path in SOURCES if path.suffix == ".js"]
BANNED = {
    r"(?:(?:const|let) \w+|this\.\w+) = \{\};|\b\w+: \{\}[,;]": "an object as a table: take a Map, or byName",
    r"\]\s*(?:\?\?|\|\|)=": "a default by a computed key: take a Map",
    r"\w in (?![A-Z_]+\b)": "`in` finds what objects inherit: take a Map, or Object.hasOwn",
    r"\.hasOwnProperty\b": "an object may have a key of that name: take a Map, or Object.hasOwn",
    r"JSON\.parse\(|\.json\(\)": "only page/documents.js reads JSON, for objects without a prototype",
}
"""A metric, a parameter or a tag may be called ``constructor`` or ``__proto__``: no table of such names may inherit."""
READS_JSON = STATIC / "page/documents.js"


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_no_line_is_over_120_columns(path: Path) -> None:
    assert [i for i, line in enumerate(path.read_text().splitlines(), 1) if len(line) > 120] == []


@pytest.mark.parametrize("path", [path for path in SCRIPTS if path != READS_JSON], ids=str)
def test_no_table_of_names_inherits_from_a_prototype(path: Path) -> None:
    for i, line in enumerate(code(path.read_text()).splitlines(), 1):
        for pattern, reason in BANNED.items():
            assert not re.search(pattern, line), f"{path}:{i}: {reason}"


@pytest.mark.parametrize(
    "line",
    ["const found = {};", "this.known = {};", "found[key] ??= [];", "if (key in finals) return;", "row: {},"],
)
def test_such_a_table_is_found(line: str) -> None:
    assert any(re.search(pattern, code(line)) for pattern in BANNED)


def code(text: str) -> str:
    """Without comments and the content of strings."""
    text = re.sub(
        r'"(?:[^"\\\n]|\\.)*"', '""', re.sub(r"^ *//.*$|(?<=[;,{}()\[\]]) // .*$", "", text, flags=re.MULTILINE)
    )
    return re.sub(r"`[^`\n]*`", "``", text)
