"""Folders and files stay small, and no module imports itself through others (CONTRIBUTING.md, "Sizes")."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grimp

from tests.paths import ROOT

PROGRAMS = ("warmboard", "trainer", "workers", "webapp", "store", "mlflow_server", "deploy")
SOURCES = {".py", ".js", ".css", ".html"}
ASIDE = {"migrations", "vendor", "__pycache__", "build", "node_modules"}
"""Folders that the sizes say nothing about: generated, or other people's."""
MOST_FILES = 25
"""Of one folder."""
MOST_LINES = 400
"""Of one file."""

with (ROOT / "pyproject.toml").open("rb") as file:
    PYPROJECT = tomllib.load(file)


def sources() -> Iterator[Path]:
    for program in PROGRAMS:
        for path in sorted((ROOT / program).rglob("*")):
            if path.suffix in SOURCES and not ASIDE & set(path.relative_to(ROOT).parts):
                yield path.relative_to(ROOT)


def test_a_folder_holds_few_files() -> None:
    folders = Counter(path.parent for path in sources())
    assert folders
    full = [f"{folder}: {count} files" for folder, count in folders.items() if count > MOST_FILES]
    assert not full, "\n".join([f"more than {MOST_FILES} source files:", *full])


def test_a_file_is_short() -> None:
    lines = {path: len((ROOT / path).read_text().splitlines()) for path in sources()}
    assert lines
    long = [f"{path}: {count} lines" for path, count in lines.items() if count > MOST_LINES]
    assert not long, "\n".join([f"longer than {MOST_LINES} lines:", *long])


def test_no_module_imports_itself_through_others() -> None:
    found = list(circles(imports()))
    assert not found, "\n".join(["modules that import themselves:", *found])


def imports() -> dict[str, set[str]]:
    """What each of our modules imports of our own, what only type checkers import aside."""
    roots = PYPROJECT["tool"]["importlinter"]["root_packages"]
    graph = grimp.build_graph(*roots, exclude_type_checking_imports=True, cache_dir=None)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def circles(imported: dict[str, set[str]]) -> Iterator[str]:
    """One shortest circle of each tangle, as `a -> b -> a`."""
    tangled = without_ends(imported)
    while tangled:
        ways = [way for module in tangled if (way := way_back(module, tangled))]
        circle = min(ways, key=lambda way: (len(way), way))
        yield " -> ".join(circle)
        tangled = without_ends({module: far - set(circle) for module, far in tangled.items() if module not in circle})


def without_ends(imported: dict[str, set[str]]) -> dict[str, set[str]]:
    """Drops, again and again, each module that imports none of those left."""
    left = imported
    while ends := {module for module, far in left.items() if not far & left.keys()}:
        left = {module: far & left.keys() for module, far in left.items() if module not in ends}
    return left


def way_back(start: str, imported: dict[str, set[str]]) -> list[str]:
    """The shortest way of imports from a module to itself; empty if there is none."""
    ways = [[start]]
    seen: set[str] = set()
    for way in ways:
        for module in sorted(imported.get(way[-1], set()) - seen):
            if module == start:
                return [*way, start]
            seen.add(module)
            ways.append([*way, module])
    return []


def test_a_circle_is_found_and_named() -> None:
    imported = {"a": {"b"}, "b": {"c", "d"}, "c": {"a"}, "d": set(), "e": {"a"}, "f": {"g"}, "g": {"f"}}
    assert list(circles(imported)) == ["f -> g -> f", "a -> b -> c -> a"]


def test_the_wheel_holds_the_library_alone() -> None:
    assert PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["warmboard"]
