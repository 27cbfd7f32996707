"""Each container against its program: every variable is one that it reads, every port one on which it listens, every
command one that it has.

What a container is, is the same on every platform; how it is written there is read by ``cloud_run.py`` and by
``kubernetes/workloads.py``.
"""

from __future__ import annotations

import argparse
import contextlib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import django
from django.core.management import find_commands

import webapp.__main__
import workers.__main__
from deploy.checks.fault import Fault
from deploy.checks.terraform import ROOT
from warmboard.contract.settings import SETTINGS, SettingError

PARSERS: dict[str, Callable[[], argparse.ArgumentParser]] = {
    "webapp": webapp.__main__._parser,
    "workers": workers.__main__.parser,
}
TAKES_NOTHING = frozenset({"mlflow_server"})
"""Programs whose entry point takes no arguments. The trainer's options are tested: no check may import it."""
# Variables that a library of a program reads, not our code.
THIRD_PARTY = {
    "FLOWER_BASIC_AUTH": "workers",
    "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": "mlflow_server",
    "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": "mlflow_server",
    "STORAGE_EMULATOR_HOST": "mlflow_server",
}
SECRET = frozenset({"FLOWER_BASIC_AUTH", *(name for name, setting in SETTINGS.items() if setting.secret)})


@dataclass(frozen=True)
class Probe:
    """How a platform asks whether a container works. Times are in seconds.

    ``kinds`` has one, if it is right: http_get, tcp_socket, grpc or exec.
    """

    name: str
    kinds: Sequence[str]
    port: object
    path: object
    period: int
    timeout: int
    tries: int


@dataclass(frozen=True)
class Container:
    """One container of ours. ``program`` is the folder of its code; ``fault`` makes one with the container's place.

    ``environment`` has the variables with their values, of which one that is known only later has a ``<…>`` in it;
    ``secrets`` those that come from a secret, with its name; ``variables`` the names of all, as often as they are
    given. ``files`` are those that are mounted, with the names of what they are in.
    """

    program: str
    name: str
    fault: Callable[[str], Fault]
    arguments: Sequence[str]
    command: Sequence[str]
    variables: Sequence[str]
    environment: Mapping[str, str]
    secrets: Mapping[str, str]
    files: Mapping[str, str]
    ports: Sequence[int]
    probes: Sequence[Probe]


@dataclass(frozen=True)
class Serving:
    """What a command serves: the settings of its ports, the paths of its health, and the setting of its address.

    ``metrics``: also Prometheus metrics, on METRICS_PORT.
    """

    ports: tuple[str, ...]
    paths: tuple[str, ...]
    host: str | None = None
    metrics: bool = False


# By program and the first word of its arguments.
SERVING = {
    ("webapp", "serve"): Serving(("WEBAPP_PORT",), ("/healthz", "/readyz"), "WEBAPP_HOST", metrics=True),
    ("mlflow_server", ""): Serving(("MLFLOW_PORT",), ("/health",), "MLFLOW_HOST"),
    ("workers", "flower"): Serving(("FLOWER_PORT",), ("/healthcheck",)),
    ("workers", "subscribe"): Serving(("HEALTH_PORT",), ("/healthz",), metrics=True),
    ("workers", "worker"): Serving(("HEALTH_PORT",), ("/healthz",), metrics=True),
    ("workers", "beat"): Serving(("HEALTH_PORT",), ("/healthz",), metrics=True),
}
NOTHING = Serving((), ())
EVERYWHERE = "0.0.0.0"  # noqa: S104
# How a platform may ask on each kind of port; a command inside the container is not among them.
ASKING = frozenset({"http_get", "tcp_socket", "grpc"})


def faults(containers: Iterable[Container]) -> Iterator[Fault]:
    """What is wrong with containers on any platform."""
    for container in containers:
        yield from _variable_faults(container)
        yield from _command_faults(container)
        yield from _port_faults(container)
        yield from _probe_faults(container)


def _variable_faults(container: Container) -> Iterator[Fault]:
    program, names = container.program, container.variables
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield container.fault(f"{name} is given twice")
    for name in sorted(set(names)):
        if THIRD_PARTY.get(name) != program and (name not in SETTINGS or program not in SETTINGS[name].programs):
            yield container.fault(f"{name} is a variable that {program} does not read")
        elif name in SECRET and name in container.environment:
            yield container.fault(f"{name} is a secret and stands in the open: take it from a secret")
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
            if file not in container.files:
                yield container.fault(f"{name} names {file}, which is not mounted")


def _command_faults(container: Container) -> Iterator[Fault]:
    if container.command:
        yield container.fault("it has a command of its own instead of its image's entry point; give it arguments")
    if container.program in TAKES_NOTHING and container.arguments:
        yield container.fault(f"{container.program} takes no arguments here: {container.arguments}")
    parse = PARSERS.get(container.program)
    if parse is None:
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
    """What its command serves; nothing, if it serves nothing."""
    first = container.arguments[:1] or [""]
    return SERVING.get((container.program, first[0]), NOTHING)


def listened(container: Container) -> set[int]:
    """The ports on which the program listens for others than its own container."""
    names = list(serving(container).ports)
    if serving(container).metrics and container.environment.get("METRICS_HOST") == EVERYWHERE:
        names.append("METRICS_PORT")
    return {int(container.environment.get(name) or SETTINGS[name].default or 0) for name in names} - {0}


def _port_faults(container: Container) -> Iterator[Fault]:
    for port in container.ports:
        if port not in listened(container):
            yield container.fault(f"nothing listens on its port {port}; it listens on {_shown(listened(container))}")
    host = serving(container).host
    if container.ports and host and container.environment.get(host) != EVERYWHERE:
        yield container.fault(f"{host} is not 0.0.0.0: no one outside the container reaches it")


def _probe_faults(container: Container) -> Iterator[Fault]:
    for probe in container.probes:
        name, kinds = probe.name, probe.kinds
        if len(kinds) != 1 or kinds[0] not in ASKING:
            yield container.fault(
                f"{name} asks by {' and '.join(kinds) or 'nothing'}, not by one of {', '.join(sorted(ASKING))}"
            )
            continue
        if probe.port not in listened(container):
            yield container.fault(
                f"{name}: nothing listens on port {probe.port}; it listens on {_shown(listened(container))}"
            )
        if kinds[0] == "http_get" and probe.path not in serving(container).paths:
            yield container.fault(f"{name}: there is no {probe.path}, but {_shown(serving(container).paths)}")
        if probe.timeout > probe.period:
            yield container.fault(f"{name}: its timeout is longer than its period of {probe.period} s")


def _shown(values: Iterable[object]) -> str:
    return ", ".join(sorted(map(str, values))) or "none"
