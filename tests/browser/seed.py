"""``python -m tests.browser.seed``: changes the store that the environment names, as long as its input is open.

One process for all tests of a site: a new one takes seconds to import what it needs. Each line of its input is a JSON
list of steps ``[class, fields, method, arguments]``; it answers each line with one: null, or the traceback of what went
wrong. The classes are those of ``kinds``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import IO, Any

import django

Step = tuple[str, Mapping[str, Any], str, Mapping[str, Any]]


class Seeder:
    """The process, from the side of the tests. A context manager."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.browser.seed"],
            env=dict(environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Seeder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def __call__(self, *steps: Step) -> None:
        """Returns when all steps are done. Raises AssertionError with the traceback of the one that failed."""
        to, back = self._process.stdin, self._process.stdout
        assert to
        assert back
        print(json.dumps(steps), file=to, flush=True)
        answer = back.readline()
        assert answer, "the seeding process has ended"
        failed = json.loads(answer)
        assert failed is None, failed


@dataclass(frozen=True)
class Command:
    """One of ``python -m webapp manage``."""

    words: list[str] = field(default_factory=list)

    def run(self) -> None:
        from django.core.management import call_command

        call_command(*self.words, verbosity=0)


@dataclass(frozen=True)
class Account:
    name: str
    password: str

    def make(self) -> None:
        from django.contrib.auth.models import User

        User.objects.create_user(self.name, password=self.password)


@dataclass(frozen=True)
class Point:
    """A snapshot of the subscription, as a subscriber has listed it."""

    name: str

    def make(self) -> None:
        from store.models import Snapshot

        oldest = datetime(2026, 1, 2, 10, tzinfo=UTC)
        times = {"oldest_at": oldest, "expires_at": datetime.now(UTC) + timedelta(days=7)}
        Snapshot.objects.update_or_create(name=self.name, defaults=times)


@dataclass(frozen=True)
class Earlier:
    """How far beat is with a server's earlier runs."""

    done: int
    to_warm: int = 9

    def make(self) -> None:
        from store.models import Backfill

        known = {"found": self.to_warm, "experiments": 2, "to_warm": self.to_warm, "done": self.done}
        Backfill.objects.update_or_create(name="default", defaults={**known, "listed_at": datetime.now(UTC)})


@dataclass(frozen=True)
class Annotation:
    """What ada writes beside a run."""

    run_id: str
    tags: dict[str, str]
    note: str

    def make(self) -> None:
        from webapp.annotations.change import Change
        from webapp.visibility.reader import NOTHING

        Change(tags=self.tags, note=self.note).make([self.run_id], "ada", NOTHING)


def main(lines: IO[str], answers: IO[str]) -> None:
    django.setup()
    from tests.webapp.frameworks import Framework
    from tests.webapp.numbers import Clocks, Numbers, Untold
    from tests.webapp.samples import Golden, Known, Sample, Varied

    kinds: dict[str, Any] = {
        kind.__name__: kind
        for kind in (
            Account,
            Annotation,
            Clocks,
            Command,
            Earlier,
            Framework,
            Golden,
            Known,
            Numbers,
            Point,
            Sample,
            Untold,
            Varied,
        )
    }
    for line in lines:
        failed = None
        try:
            for kind, fields, method, arguments in json.loads(line):
                getattr(kinds[kind](**fields), method)(**arguments)
        except Exception:  # noqa: BLE001 - told to the test that asked for it
            failed = traceback.format_exc()
        print(json.dumps(failed), file=answers, flush=True)


if __name__ == "__main__":
    answers, sys.stdout = sys.stdout, sys.stderr
    main(sys.stdin, answers)
