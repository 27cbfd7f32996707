"""The environment: settings that can't be used, and names that are almost those of settings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

from warmboard.contract.settings import SETTINGS, Setting, SettingError
from workers.doctor.finding import Finding, Findings, Given, failure, ok, warning
from workers.settings import Settings

SUBJECT = "settings"
PROGRAM = "workers"
CREDENTIALS = frozenset(["MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"])
CLOSE = 0.87
"""How alike two names must be, from 0 to 1, to count as the same name misspelled."""
OTHERS = re.compile(r"MLFLOW_TRACKING_(AUTH|AWS_SIGV4|INSECURE_TLS|SERVER_CERT_PATH)|FLOWER_BASIC_AUTH")
"""Names that MLflow's client and Flower read themselves."""
LINK = re.compile(r"(tcp|udp)://[\d.:]+")


@dataclass(frozen=True)
class Environment:
    """The settings as far as they can be used. ``invalid`` are the names of the others, which have their defaults."""

    given: Given
    invalid: frozenset[str]
    findings: tuple[Finding, ...]

    def without(self, names: frozenset[str], reason: str) -> Environment:
        """The same with more settings that can't be used. Raises SettingError if these are known already."""
        if names <= self.invalid:
            raise SettingError(reason)
        fault = failure(SUBJECT, reason, _fix(names))
        return replace(self, invalid=self.invalid | names, findings=(*self.findings, fault))


def read(environ: Mapping[str, str]) -> Environment:
    """Read every setting by itself, so that one that is invalid hides no other; then all together."""
    wrong = dict(_invalid(environ))
    while True:
        usable = {name: value for name, value in environ.items() if name not in wrong}
        try:
            settings = Settings.read(usable)
            break
        except SettingError as error:
            # Settings that don't fit together.
            if not (names := named(error) - wrong.keys()):
                raise
            wrong |= dict.fromkeys(names, failure(SUBJECT, str(error), _fix(names)))
    findings = [*dict.fromkeys(wrong.values()), *_misspelled(environ)]
    if not findings:
        count = sum(bool(environ.get(name)) for name in _ours())
        findings.append(ok(SUBJECT, f"all {len(_ours())} can be used, {count} of them from the environment"))
    return Environment(Given(usable, settings), frozenset(wrong), tuple(findings))


def named(error: SettingError) -> frozenset[str]:
    """The settings that an error is about: the one that its text begins with; user name and password go together."""
    name = str(error).split(" ")[0].rstrip(":")
    names = CREDENTIALS if name in CREDENTIALS else frozenset([name])
    return names & SETTINGS.keys()


def _fix(names: Iterable[str]) -> str:
    return f"Correct {' and '.join(sorted(names))}: docs/reference/settings.md has the meaning."


def _ours() -> dict[str, Setting[object]]:
    return {name: setting for name, setting in SETTINGS.items() if PROGRAM in setting.programs}


def _invalid(environ: Mapping[str, str]) -> list[tuple[str, Finding]]:
    """Every setting, also of the other programs, since one environment often serves all; required ones only of ours."""
    found = []
    for name, setting in SETTINGS.items():
        if not environ.get(name) and name not in _ours():
            continue
        try:
            setting.read(environ)
        except SettingError as error:
            fix = _fix([name])
            if LINK.fullmatch(environ.get(name, "")):
                fix = (
                    f"Kubernetes sets {name} for a service of that name: set `enableServiceLinks: false` in the pod, or"
                    f" give {name} a value there."
                )
            found.append((name, (failure if name in _ours() else warning)(SUBJECT, str(error), fix)))
    return found


def _misspelled(environ: Mapping[str, str]) -> Findings:
    for name in sorted(environ.keys() - SETTINGS.keys()):
        nearest = max(SETTINGS, key=lambda other: _likeness(name, other))
        if _likeness(name, nearest) >= CLOSE and not OTHERS.fullmatch(name):
            text = f"{name} is not a setting and has no effect"
            yield warning(SUBJECT, text, f"Did you mean {nearest}? If another program reads {name}, ignore this.")


def _likeness(name: str, other: str) -> float:
    """From 0 to 1, and more if one only lacks the other's end."""
    matcher = SequenceMatcher(None, name.upper(), other, autojunk=False)
    if matcher.quick_ratio() < CLOSE or (ratio := matcher.ratio()) < CLOSE:
        return 0
    return ratio + (other.startswith(name.upper()) or name.upper().startswith(other))
