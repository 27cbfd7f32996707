"""Each container against its program: every variable is one that it reads, every port one on which it listens, every
command one that it has.
"""

from __future__ import annotations

import argparse
import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import django
from django.core.management import find_commands

import webapp.__main__
import workers.__main__
from deploy.checks.containers import Container, containers
from deploy.checks.fault import Fault
from deploy.checks.identities import ACCOUNT, grant_of
from deploy.checks.plan import Resource
from deploy.checks.terraform import ROOT
from warmboard.contract.settings import SETTINGS, SettingError

PARSERS: dict[str, Callable[[], argparse.ArgumentParser]] = {
    "webapp": webapp.__main__._parser,
    "workers": workers.__main__.parser,
}
# Variables that a library of a program reads, not our code.
THIRD_PARTY = {
    "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": "mlflow_server",
    "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": "mlflow_server",
}


@dataclass(frozen=True)
class Serving:
    """What a command serves: the settings of its ports, the paths of its health, and the setting of its address."""

    ports: tuple[str, ...]
    paths: tuple[str, ...]
    host: str | None = None


# By program and the first word of its arguments.
SERVING = {
    ("webapp", "serve"): Serving(("WEBAPP_PORT",), ("/healthz", "/readyz"), "WEBAPP_HOST"),
    ("mlflow_server", ""): Serving(("MLFLOW_PORT",), ("/health",), "MLFLOW_HOST"),
    ("workers", "flower"): Serving(("FLOWER_PORT",), ("/healthcheck",)),
    ("workers", "subscribe"): Serving(("HEALTH_PORT",), ("/healthz",)),
    ("workers", "worker"): Serving(("HEALTH_PORT",), ("/healthz",)),
    ("workers", "beat"): Serving(("HEALTH_PORT",), ("/healthz",)),
}
NOTHING = Serving((), ())
# How a platform may ask on each kind of port; a command inside the container is not among them.
ASKING = frozenset({"http_get", "tcp_socket", "grpc"})
TIMES = frozenset(
    {"initial_delay_seconds", "period_seconds", "timeout_seconds", "failure_threshold", "success_threshold"}
)
LONGEST_START = 240
"""Seconds that Cloud Run gives a startup probe, all its tries together."""


def faults(planned: Sequence[Resource]) -> Iterator[Fault]:
    readers = {(grant.who, grant.on) for grant in map(grant_of, _secret_grants(planned))}
    for container in containers(planned):
        yield from _variable_faults(container)
        yield from _command_faults(container)
        yield from _port_faults(container)
        yield from _probe_faults(container)
        yield from _secret_faults(container, readers)


def _secret_grants(planned: Sequence[Resource]) -> Iterator[Resource]:
    return (resource for resource in planned if resource.type == "google_secret_manager_secret_iam_member")


def _variable_faults(container: Container) -> Iterator[Fault]:
    program, names = container.program, [each["name"] for each in container.variables]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield container.fault(f"{name} is given twice")
    for name in sorted(set(names)):
        if THIRD_PARTY.get(name) != program and (name not in SETTINGS or program not in SETTINGS[name].programs):
            yield container.fault(f"{name} is a variable that {program} does not read")
        elif name in SETTINGS and SETTINGS[name].secret and name in container.environment:
            yield container.fault(f"{name} is a secret and stands in the open: take it from Secret Manager")
    for name, value in container.environment.items():
        yield from _value_faults(container, name, value)
    for name, setting in SETTINGS.items():
        if setting.default is None and program in setting.programs and name not in names:
            yield container.fault(f"{name} is missing, which {program} requires")


def _value_faults(container: Container, name: str, value: str) -> Iterator[Fault]:
    if name in SETTINGS and "<" not in value:
        try:
            SETTINGS[name].read({name: value})
        except SettingError as error:
            yield container.fault(str(error))
    if name == "REDIS_URL":
        authority = parse_qs(urlsplit(value.replace("<", "").replace(">", "")).query).get("ssl_ca_certs", [])
        for file in authority:
            if file not in container.files():
                yield container.fault(f"{name} names {file}, which is not mounted")


def _command_faults(container: Container) -> Iterator[Fault]:
    if container.given.get("command"):
        yield container.fault("it has a command of its own instead of its image's entry point; give it arguments")
    parse = PARSERS.get(container.program)
    if parse is None:
        if container.arguments:
            yield container.fault(f"{container.program} takes no arguments here: {container.arguments}")
        return
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            options = parse().parse_args(container.arguments)
    except SystemExit:
        yield container.fault(f"{container.program} has no such command: {said.getvalue().strip().splitlines()[-1]}")
        return
    if getattr(options, "command", None) == "manage" and options.arguments[0] not in managed():
        yield container.fault(f"`manage` has no command {options.arguments[0]}")


def managed() -> set[str]:
    """The management commands of the webapp and of Django."""
    folders = [path.parent for path in (ROOT / "webapp").glob("*/management/commands")]
    folders.append(Path(django.__file__).parent / "core" / "management")
    return {name for folder in folders for name in find_commands(str(folder))}


def serving(container: Container) -> Serving:
    first = container.arguments[:1] or [""]
    return SERVING.get((container.program, first[0]), NOTHING)


def listened(container: Container) -> set[int]:
    """The ports on which the program listens for others than its own container."""
    numbers = {int(container.environment.get(name) or SETTINGS[name].default or 0) for name in serving(container).ports}
    return numbers - {0}


def _port_faults(container: Container) -> Iterator[Fault]:
    ports = [port["container_port"] for port in container.given.get("ports", [])]
    for port in ports:
        if port not in listened(container):
            yield container.fault(f"nothing listens on its port {port}; it listens on {_shown(listened(container))}")
    host = serving(container).host
    if ports and host and container.environment.get(host) != "0.0.0.0":  # noqa: S104
        yield container.fault(f"{host} is not 0.0.0.0: no one outside the container reaches it")


def _probe_faults(container: Container) -> Iterator[Fault]:
    for name, probe in container.probes():
        kinds = sorted(probe.keys() - TIMES)
        if len(kinds) != 1 or kinds[0] not in ASKING:
            yield container.fault(
                f"{name} asks by {' and '.join(kinds) or 'nothing'}, not by one of {', '.join(sorted(ASKING))}"
            )
            continue
        [asked] = probe[kinds[0]]
        if asked.get("port") not in listened(container):
            yield container.fault(
                f"{name}: nothing listens on port {asked.get('port')}; it listens on {_shown(listened(container))}"
            )
        if kinds == ["http_get"] and asked.get("path") not in serving(container).paths:
            yield container.fault(f"{name}: there is no {asked.get('path')}, but {_shown(serving(container).paths)}")
        period = probe.get("period_seconds", 10)
        if probe.get("timeout_seconds", 1) > period:
            yield container.fault(f"{name}: its timeout is longer than its period of {period} s")
        if name == "startup_probe" and period * probe.get("failure_threshold", 3) > LONGEST_START:
            yield container.fault(f"{name} takes more than {LONGEST_START} s in all")


def _shown(values: object) -> str:
    return ", ".join(map(str, sorted(values))) or "none"  # type: ignore[call-overload]


def _secret_faults(container: Container, readers: set[tuple[str, str]]) -> Iterator[Fault]:
    account = ACCOUNT.search(container.account)
    if account is None:
        yield container.fault("it has no account of its own, so it would run as the project's, which may do much")
        return
    for secret in sorted({*container.secrets.values(), *container.files().values()}):
        if (account[1], f"secret {secret}") not in readers:
            yield container.fault(f"{account[1]} may not read the secret {secret}")
