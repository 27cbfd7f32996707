"""Many small ES modules, or style sheets, as the one file that a page loads.

Written for how ours are written, each statement at the beginning of a line: ``import {…} from "./x.js";`` (or "../"),
``import * as x from "./x.js";``, ``import "./x.js";``, ``export`` before a function, class or const; and
``import("./x.js")`` anywhere. Of style sheets: ``@import "x.css";``. Anything else of the kind is refused, as is a
template literal over several lines, since comments and indents are left out.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable

Read = Callable[[str], str]
"""The text of a file by its name, such as ``webapp/run.js``."""

IMPORT = re.compile(r'^import\s+(?:(?:\{([^}]*)\}|\* as (\w+))\s+from\s+)?"(\.{1,2}/[\w./-]+)";$', re.MULTILINE)
LAZY_IMPORT = re.compile(r'\bimport\("(\.{1,2}/[\w./-]+)"\)')
RENAMED = re.compile(r"(\w+) as (\w+)")
EXPORT = re.compile(r"^export ((?:async )?function|class|const) (\w+)", re.MULTILINE)
COMMENT = re.compile(r"^ *//.*\n|(?<=[;,{}()\[\]]) // [^\"'`\n]*$", re.MULTILINE)
"""A whole line, or the end of one. A comment with quotes stays: it could be part of a string."""
INDENT = re.compile(r"^ +", re.MULTILINE)
OPEN_TEMPLATE = re.compile(r"^[^`\n]*`(?:[^`\n]*`[^`\n]*`)*[^`\n]*$", re.MULTILINE)
STYLE_COMMENT = re.compile(r"^ */\*.*?\*/\n", re.MULTILINE | re.DOTALL)
ANY_MODULE_SYNTAX = re.compile(r"^(?:import|export)\b.*|\bimport\s*[.(].*", re.MULTILINE)
STYLE_IMPORT = re.compile(r'^@import "([\w./-]+)";$', re.MULTILINE)
ANY_STYLE_IMPORT = re.compile(r"^\s*@import\b.*", re.MULTILINE)
SCRIPT = """(() => {{
"use strict";
const __modules = {{
{modules}}};
const __loaded = {{}};
const __load = (name) => (__loaded[name] ??= __modules[name]());
__load("{entry}");
}})();
"""


class BundleError(ValueError):
    """A file is written in a way that can't be bundled. The text names it and the line."""


def script(entry: str, read: Read) -> tuple[str, set[str]]:
    """The module ``entry`` with all that it imports, and the names of those modules. A module runs when it is first
    imported, once; one that is only imported with ``import()`` runs then. Raises BundleError.
    """
    parts: dict[str, str] = {}
    _collect(entry, read, parts, ())
    at_once: dict[str, str] = {}
    _collect(entry, read, at_once, (), lazy=False)
    modules = "".join(
        # A function in parentheses is compiled with the script; any other one when it is called.
        f'"{name}": ({function}),\n' if name in at_once else f'"{name}": {function},\n'
        for name, function in parts.items()
    )
    return SCRIPT.format(modules=modules, entry=entry), set(parts)


def style(entry: str, read: Read) -> str:
    """The style sheet ``entry`` with those that it imports in their places. Raises BundleError."""
    text = STYLE_IMPORT.sub(lambda found: style(_resolve(entry, found[1]), read), STYLE_COMMENT.sub("", read(entry)))
    _refuse(entry, ANY_STYLE_IMPORT.search(text))
    return text


def _collect(name: str, read: Read, parts: dict[str, str], importers: tuple[str, ...], lazy: bool = True) -> None:
    """Adds the function of this module and of those that it imports; of those it imports lazily only if ``lazy``."""
    if name in importers:
        raise BundleError(f"modules import one another: {' → '.join([*importers, name])}")
    if name in parts:
        return
    text = read(name)
    for found in IMPORT.finditer(text):
        _collect(_resolve(name, found[3]), read, parts, (*importers, name), lazy)
    parts[name] = _as_function(name, text)
    for found in LAZY_IMPORT.finditer(text) if lazy else ():
        _collect(_resolve(name, found[1]), read, parts, ())


def _as_function(name: str, text: str) -> str:
    """A function that runs the module and returns what it exports."""

    def load(found: re.Match[str]) -> str:
        names, everything, path = found.groups()
        loading = f'__load("{_resolve(name, path)}");'
        if names is None and everything is None:
            return loading
        taken = everything or "{" + RENAMED.sub(r"\1: \2", names) + "}"
        return f"const {taken} = {loading}"

    exported = [found[2] for found in EXPORT.finditer(text)]
    text = IMPORT.sub(load, text)
    text = LAZY_IMPORT.sub(lambda found: f'Promise.resolve().then(() => __load("{_resolve(name, found[1])}"))', text)
    text = COMMENT.sub("", EXPORT.sub(r"\1 \2", text))
    _refuse(name, ANY_MODULE_SYNTAX.search(text))
    _refuse(name, OPEN_TEMPLATE.search(text))
    text = INDENT.sub("", text)
    return f"() => {{\n{text}return {{ {', '.join(exported)} }};\n}}"


def _resolve(name: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), path))


def _refuse(name: str, found: re.Match[str] | None) -> None:
    if found:
        raise BundleError(f"{name} can't be bundled because of this line: {found[0].strip()}")
