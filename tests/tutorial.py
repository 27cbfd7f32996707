"""Follows a tutorial word by word: its commands in a shell, in the order of the page, in one folder."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.environment import GIVEN
from tests.waiting import wait

BLOCK = re.compile(r"^```(\w+)(?: ([\w.-]+))?\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND_SECONDS = 900.0
"""Some install hundreds of megabytes."""


@dataclass
class Reader:
    """Who follows the tutorial. ``instead``: what is typed in place of another text, such as a port that is free here.

    A block of ``sh`` is a command; of ``sh background`` one in a terminal of its own; of ``text`` what the last such
    terminal says by and by, line by line; of another language with a name a file.
    """

    folder: Path
    instead: Mapping[str, str]
    environ: Mapping[str, str]
    printed: list[str] = field(default_factory=list)
    """What the commands printed, by their order."""
    terminals: list[tuple[subprocess.Popen[bytes], Path]] = field(default_factory=list)

    def follow(self, page: Path) -> None:
        blocks = BLOCK.findall(page.read_text())
        assert blocks
        for language, name, text in blocks:
            text = self._typed(text)
            if language == "sh" and name == "background":
                self._open_terminal(text)
            elif language == "sh":
                self._run(text)
            elif language == "text":
                self._read(text)
            else:
                (self.folder / name).write_text(text)

    @property
    def terminal(self) -> str:
        """All that the last terminal has said."""
        return self.terminals[-1][1].read_text(errors="replace")

    def close(self) -> None:
        """Ctrl-C in each terminal."""
        for process, _ in reversed(self.terminals):
            process.send_signal(signal.SIGINT)
            process.wait(60)

    def _typed(self, text: str) -> str:
        for old, new in self.instead.items():
            text = text.replace(old, new)
        return text

    def _run(self, text: str) -> None:
        done = subprocess.run(
            ["bash", "-euc", text], cwd=self.folder, env=self.environ, capture_output=True, text=True, check=False,
            timeout=COMMAND_SECONDS,
        )  # fmt: skip
        assert done.returncode == 0, f"{text}{done.stdout}{done.stderr}"
        self.printed.append(done.stdout)

    def _open_terminal(self, text: str) -> None:
        output = self.folder / f"terminal-{len(self.terminals)}"
        with output.open("wb") as file:
            process = subprocess.Popen(
                ["bash", "-euc", f"exec {text}"], cwd=self.folder, env=self.environ, stdout=file,
                stderr=subprocess.STDOUT,
            )  # fmt: skip
        self.terminals.append((process, output))

    def _read(self, text: str) -> None:
        process = self.terminals[-1][0]
        for line in text.splitlines():

            def said(line: str = line) -> bool:
                assert process.poll() is None, self.terminal
                return line in self.terminal

            wait(said, line, lambda: self.terminal)


@contextmanager
def reader(folder: Path, instead: Mapping[str, str], **environ: str) -> Iterator[Reader]:
    found = Reader(folder, instead, {**GIVEN, **environ})
    try:
        yield found
    finally:
        found.close()
