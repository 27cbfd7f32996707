"""``python -m docs.site.reference commands|documents`` prints a reference page, made from the code."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from inspect import cleandoc
from pathlib import Path
from typing import Any

from warmboard.contract import about, entries

WIDTH = "110"


def main() -> None:
    print(PAGES[sys.argv[1]](), end="")


def commands() -> str:
    """What every command says with ``--help``."""
    os.environ["COLUMNS"] = WIDTH
    lines = ["# Commands", "", "What each command says with `--help`."]
    for program, title, parts in _programs():
        lines += ["", f"## {program}", "", title]
        for text in parts:
            lines += ["", "```text", text.rstrip().replace(str(Path.home()), "~"), "```"]
    return "\n".join(lines) + "\n"


def _programs() -> Iterator[tuple[str, str, list[str]]]:
    import chaos.__main__
    import deploy.local.__main__
    import deploy.server.__main__
    import trainer.__main__
    import trainer.sweep
    import warmboard.__main__ as library
    import webapp.__main__
    import workers.__main__

    told = [[], ["flush"], ["publish"]]
    yield (
        "warmboard",
        "The library's command, also `python -m warmboard`.",
        [_printed(library.main, [*words, "--help"]) for words in told],
    )
    trains = [trainer.__main__.parser(), trainer.sweep.parser()]
    yield "python -m trainer", "The two-tower trainer: `make train`.", [parser.format_help() for parser in trains]
    yield "python -m workers", "Subscriber, worker, beat, and what operators need.", _all(workers.__main__.parser())
    yield "python -m webapp", "The pages, and Django's management commands.", _all(webapp.__main__._parser())
    yield (
        "warmboard-server",
        "Every part [beside the MLflow that you have](../how-to/beside-your-mlflow.md).",
        _all(deploy.server.__main__._parser()),
    )
    yield "python -m deploy.local", "What `make` calls on this machine.", _all(deploy.local.__main__._parser())
    yield "python -m chaos", "`make chaos`.", _all(chaos.__main__._parser())


def _printed(run: Callable[[list[str]], Any], words: list[str]) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
        run(words)
    return printed.getvalue()


def _all(parser: argparse.ArgumentParser) -> list[str]:
    """The help of a command, then that of each of its subcommands that takes more than ``--help``."""
    found = [parser.format_help()]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                if len(each._actions) > 1:
                    found += _all(each)
    return found


def documents() -> str:
    """The shapes of all warm entries."""
    lines = [
        "# Documents",
        "",
        f"The JSON documents that workers store and the [API](json-api.md) sends unchanged, schema version "
        f"{entries.SCHEMA_VERSION}: the types of `warmboard/contract/entries.py` and `warmboard/contract/about.py`. "
        "The files `warmboard/contract/examples/entry-*.json` are examples of each.",
    ]
    for module in (entries, about):
        for name, shape in vars(module).items():
            if shape.__class__.__name__ == "_TypedDictMeta" and shape.__module__ == module.__name__:
                lines += ["", f"## {name}", ""]
                if shape.__doc__:
                    lines += [cleandoc(shape.__doc__).replace("``", "`"), ""]
                lines += ["| field | type |", "|---|---|"]
                lines += [f"| `{field}` | {_type(kind)} |" for field, kind in shape.__annotations__.items()]
    return "\n".join(lines) + "\n"


def _type(kind: Any) -> str:
    text = kind.__forward_arg__ if hasattr(kind, "__forward_arg__") else str(kind)
    optional = text.startswith("NotRequired[")
    text = text.removeprefix("NotRequired[").removesuffix("]") if optional else text
    return f"`{text}`{', may be missing' if optional else ''}".replace("|", "\\|")


PAGES: dict[str, Callable[[], str]] = {"commands": commands, "documents": documents}

if __name__ == "__main__":
    main()
