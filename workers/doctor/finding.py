"""A finding of the doctor, and the checks that make them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from workers.settings import Settings


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    """It works, but not well, or not for long."""
    FAILURE = "failure"
    """Runs are not warmed until it is fixed."""


@dataclass(frozen=True)
class Finding:
    """What was seen of ``subject``, in words for operators. ``fix`` says what to do; empty if all is well."""

    subject: str
    level: Level
    text: str
    fix: str = ""


Findings = Iterator[Finding]


@dataclass(frozen=True)
class Given:
    """What every check gets: the environment without invalid settings, and the settings in it."""

    environ: Mapping[str, str]
    settings: Settings


@dataclass(frozen=True)
class Check:
    """One look at one thing. It may hang, and it may raise: `run` bounds it.

    ``needs`` are the settings without which it has nothing to look at.
    """

    subject: str
    look: Callable[[Given], Findings]
    needs: tuple[str, ...] = ()


def ok(subject: str, text: str) -> Finding:
    return Finding(subject, Level.OK, text)


def warning(subject: str, text: str, fix: str) -> Finding:
    return Finding(subject, Level.WARNING, text, fix)


def failure(subject: str, text: str, fix: str) -> Finding:
    return Finding(subject, Level.FAILURE, text, fix)
