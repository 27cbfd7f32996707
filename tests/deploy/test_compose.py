"""docker-compose.yml, checked against our programs and settings. No container engine is needed."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
import yaml
from django.core.management import get_commands
from django.urls import resolve

import trainer.__main__
import warmboard.run.flush
import webapp.__main__
import workers.__main__
from deploy.local.stack import PORTS as LOCAL_PORTS
from tests.conftest import NOT_RUN
from tests.deploy.files import (
    COMPOSE,
    PROGRAMS,
    SECRET,
    VARIABLE,
    Dockerfile,
    command,
    interpolated,
    program,
    services,
)
from tests.paths import ROOT
from warmboard.contract.settings import SETTINGS

SERVICES = services()
OURS = {name: service for name, service in SERVICES.items() if program(service)}
ONE_OFFS = {
    name
    for service in SERVICES.values()
    for name, dependency in service.get("depends_on", {}).items()
    if dependency["condition"] == "service_completed_successfully"
}
ON_DEMAND = {"trainer"}
SERVED = [name for name in SERVICES if name not in ONE_OFFS | ON_DEMAND]
PORTS = {
    "redis": LOCAL_PORTS["valkey"], "postgres": 5432, "proxy": 8443, "prometheus": 9090, "grafana": 3000, **LOCAL_PORTS
}  # fmt: skip
PARSERS = {
    "trainer": trainer.__main__.parser,
    "webapp": webapp.__main__._parser,
    "workers": workers.__main__.parser,
}
# Variables that a library of a program reads, not our code.
THIRD_PARTY = {
    "FLOWER_BASIC_AUTH": "workers",  # Flower
    "STORAGE_EMULATOR_HOST": "mlflow_server",  # google-cloud-storage, which MLflow uses for artifacts
}
ADDRESS = re.compile(r"(?<![\w.-])([a-z][a-z0-9.]*|127\.0\.0\.1):(\d{4,5})\b")
each_of_ours = pytest.mark.parametrize("name", OURS)
each_served = pytest.mark.parametrize("name", SERVED)


def environment(name: str) -> dict[str, str]:
    """A service's environment: the image's, overridden by the Compose file's."""
    service = SERVICES[name]
    image = Dockerfile.of(service["build"]["dockerfile"]).environment() if "build" in service else {}
    return {**image, **{key: str(value) for key, value in service.get("environment", {}).items()}}


def megabytes(text: str) -> int:
    return int(text.rstrip("mbg")) * (1024 if text.endswith("g") else 1)


def published(name: str) -> list[int]:
    return [int(port.split(":")[1]) for port in SERVICES[name].get("ports", [])]


def check(name: str) -> list[str]:
    """The words of a service's health check."""
    words: list[str] = SERVICES[name]["healthcheck"]["test"]
    return words


def test_it_keeps_to_the_specification() -> None:
    schema = json.loads(Path(__file__).with_name("schema.json").read_text())

    jsonschema.Draft7Validator(schema).validate(yaml.safe_load(interpolated(COMPOSE)))


def test_docker_compose_takes_it() -> None:
    line = ["docker", "compose"]
    if not shutil.which("docker") or subprocess.run([*line, "version"], capture_output=True, check=False).returncode:
        pytest.skip(f"{NOT_RUN}docker compose config (the Compose plugin is not installed)")
    required = {found["name"]: SECRET for found in VARIABLE.finditer(COMPOSE) if found["operator"] == ":?"}

    done = subprocess.run(
        [*line, "--profile=*", "config", "--quiet"],
        cwd=ROOT, env={**os.environ, **required}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr


def test_every_variable_is_required_or_has_a_default_and_the_example_says_the_same() -> None:
    used: dict[str, tuple[str, str]] = {}
    for found in VARIABLE.finditer(COMPOSE):
        if found["escaped"]:
            continue
        assert found["operator"] in (":?", ":-"), found[0]
        value = "" if found["operator"] == ":?" else found["operand"]
        assert used.setdefault(found["name"], (found["operator"], value)) == (found["operator"], value)
    example = (ROOT / ".env.example").read_text()
    explained = {
        name: (":-" if commented else ":?", value)
        for commented, name, value in re.findall(r"^(#?)([A-Z_]+)=(.*)$", example, re.M)
    }

    assert explained == used


def test_no_secret_is_written_out() -> None:
    raw = yaml.safe_load(COMPOSE)["services"]
    for name, service in raw.items():
        for key, value in service.get("environment", {}).items():
            if (key in SETTINGS and SETTINGS[key].secret) or re.search("PASSWORD|SECRET|TOKEN|AUTH$", key):
                assert re.search(r"\$\{\w+:\?", value), f"{name}: {key}"
    assert not re.search(r"://[^/\s]*:(?!\$\{\w+:\?)[^/\s]*@", COMPOSE)


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_confined_and_restarted(name: str) -> None:
    service = SERVICES[name]
    restart = "no" if name in ON_DEMAND else "on-failure:3" if name in ONE_OFFS else "unless-stopped"

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "proxy" else [])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == restart
    assert "privileged" not in service


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_limits_and_its_log_too(name: str) -> None:
    service = SERVICES[name]

    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert 0 < service["pids_limit"] <= 2000
    assert service["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}


def test_the_memory_of_valkey_holds_its_data_twice() -> None:
    words = SERVICES["redis"]["command"]

    assert megabytes(SERVICES["redis"]["mem_limit"]) > 2 * megabytes(words[words.index("--maxmemory") + 1])


def test_a_worker_has_the_memory_that_its_processes_may_take() -> None:
    # One for each tracking server and one more; Celery replaces a process that has more.
    most = 2 * int(SETTINGS["WORKER_MAX_MEGABYTES"].default or 0)

    assert megabytes(SERVICES["worker"]["mem_limit"]) > most


@pytest.mark.parametrize("name", [name for name in SERVICES if name not in OURS])
def test_every_image_that_is_not_built_here_is_pinned_to_an_exact_version(name: str) -> None:
    assert re.search(r":v?\d+\.\d+(\.\d+)?(-\w+)?$", SERVICES[name]["image"])


def test_four_images_are_built_each_under_one_name() -> None:
    names = {SERVICES[name]["image"]: str(program(SERVICES[name])) for name in OURS}

    assert names == {f"warmboard/{folder}:local": folder for folder in PROGRAMS}
    for name in OURS:
        [same] = [image for image, folder in names.items() if folder == program(SERVICES[name])]
        assert SERVICES[name]["image"] == same


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_can_be_replaced_by_a_digest(name: str) -> None:
    service = yaml.safe_load(COMPOSE)["services"][name]
    image = service["build"]["args"]["PYTHON_IMAGE"] if name in OURS else service["image"]

    assert re.fullmatch(r"\$\{[A-Z]+_IMAGE:-[^}]+\}", image)


@each_of_ours
def test_every_image_that_is_built_has_its_dockerfile(name: str) -> None:
    build = SERVICES[name]["build"]

    assert (ROOT / build["context"] / build["dockerfile"]).is_file()
    image = Dockerfile.of(build["dockerfile"])
    assert set(build["args"]) <= {*image.global_args, *(rest.partition("=")[0] for rest in image.all("ARG"))}
    assert build["args"]["PYTHON_IMAGE"] == image.global_args["PYTHON_IMAGE"]


@each_of_ours
def test_it_is_given_variables_that_its_program_reads_and_values_that_do(name: str) -> None:
    own = str(program(SERVICES[name]))
    for key, value in SERVICES[name].get("environment", {}).items():
        if THIRD_PARTY.get(key) == own:
            continue
        assert own in SETTINGS[key].programs, f"{own} does not read {key}"
        SETTINGS[key].read({key: str(value)})


@each_of_ours
def test_it_is_given_every_setting_that_its_program_requires(name: str) -> None:
    required = {
        key
        for key, setting in SETTINGS.items()
        if setting.default is None and program(SERVICES[name]) in setting.programs
    }

    assert required <= set(environment(name))


@each_of_ours
def test_it_ends_at_once_while_it_starts(name: str) -> None:
    # The first process of a container ignores a signal for which it has no handler yet.
    assert SERVICES[name]["init"] is True


@each_of_ours
def test_its_command_is_one_of_its_program(name: str) -> None:
    line = command(SERVICES[name])
    if line[0] == "sh":
        return
    options = PARSERS[line[2]]().parse_args(line[3:])

    if getattr(options, "command", None) == "manage":
        assert options.arguments[0] in get_commands()


def test_the_commands_of_the_guide_are_ones_of_the_programs() -> None:
    guide = (ROOT / "docs" / "how-to" / "docker-compose.md").read_text()
    lines = [shlex.split(line, comments=True) for line in re.findall(r"docker compose (?:run|exec) .*", guide)]

    assert len(lines) > 3
    for words in lines:
        at = next(i for i, word in enumerate(words) if word in SERVICES)
        options, line = words[3:at], words[at + 1 :]
        prefix = ["python", "-m", str(program(SERVICES[words[at]]))]
        if "--entrypoint" in options:
            prefix = options[options.index("--entrypoint") + 1].split()
        elif words[2] == "exec":
            prefix, line = line[:3], line[3:]
        assert prefix[:2] == ["python", "-m"]
        if prefix[2] == "warmboard":
            {"flush": warmboard.run.flush.parser}[line[0]]().parse_args(line[1:])
        else:
            PARSERS[prefix[2]]().parse_args(line)
        if words[2] == "run" and "--no-deps" not in options:
            assert not ONE_OFFS & before(words[at]), f"{shlex.join(words)} also runs what ran when all was started"


def before(name: str) -> set[str]:
    """Every service that Compose starts before this one."""
    direct = set(SERVICES[name].get("depends_on", {}))
    return direct.union(*map(before, direct))


@pytest.mark.parametrize("name", SERVICES)
def test_it_waits_for_services_that_can_say_that_they_are_ready(name: str) -> None:
    for other, dependency in SERVICES[name].get("depends_on", {}).items():
        if dependency["condition"] == "service_healthy":
            assert other in SERVED
            assert check(other)
        else:
            assert SERVICES[other]["restart"] == "on-failure:3"


@pytest.mark.parametrize("name", SERVICES)
def test_the_addresses_it_is_given_are_those_of_other_services(name: str) -> None:
    given = {(host, int(port)) for value in environment(name).values() for host, port in ADDRESS.findall(value)}
    inside = {(other, PORTS[other]) for other in SERVICES if other in PORTS}
    outside = {(host, port) for other in SERVICES for port in published(other) for host in ("127.0.0.1", "localhost")}

    assert given <= inside | outside


def test_the_databases_are_created() -> None:
    made = re.findall(r"createdb (\w+)", " ".join(SERVICES["databases"]["command"]))
    mlflow = urlsplit(environment("mlflow")["MLFLOW_BACKEND_STORE_URI"])
    store = urlsplit(environment("worker")["DATABASE_URL"])

    assert [mlflow.path] == [f"/{database}" for database in made]
    assert store.path == f"/{environment('postgres')['POSTGRES_DB']}" == f"/{environment('databases')['PGDATABASE']}"
    assert {mlflow.username, store.username} == {environment("postgres")["POSTGRES_USER"]}
    assert environment("migrate")["DATABASE_URL"] == store.geturl()


def test_the_webapp_has_a_user_of_its_own_and_no_other_password() -> None:
    own, role = environment("webapp"), environment("role")
    url = urlsplit(own["DATABASE_URL"])

    assert own["DATABASE_URL"] == role["WEBAPP_DATABASE_URL"]
    assert url.username != urlsplit(role["DATABASE_URL"]).username
    assert url.path == urlsplit(role["DATABASE_URL"]).path
    assert "WEBAPP_DATABASE_URL" not in own
    assert "role" in SERVICES["webapp"]["depends_on"]


def test_the_bucket_is_created() -> None:
    [bucket] = re.findall(r"mkdir -p /storage/(\w+);", " ".join(SERVICES["storage"]["entrypoint"]))
    uris = {value for name in SERVICES for value in environment(name).values() if value.startswith("gs://")}

    assert {urlsplit(uri).netloc for uri in uris} == {bucket}


def test_the_sweep_looks_where_the_trainer_leaves_its_files() -> None:
    assert environment("beat")["OUTPUT_URI"] == environment("trainer")["OUTPUT_URI"]


def test_mlflow_answers_to_every_name_that_it_is_called_by() -> None:
    allowed = environment("mlflow")["MLFLOW_ALLOWED_HOSTS"].split(",")
    [port] = published("mlflow")
    inside = {urlsplit(environment(name)["MLFLOW_TRACKING_URI"]).netloc for name in ("worker", "trainer")}

    assert set(allowed) == inside | {f"localhost:{port}", f"127.0.0.1:{port}"}


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_to_this_machine_only_and_are_those_of_the_program(name: str) -> None:
    ports = SERVICES[name].get("ports", [])

    assert all(port == f"127.0.0.1:{PORTS[name]}:{PORTS[name]}" for port in ports)
    if ports and name in OURS:
        assert Dockerfile.of(SERVICES[name]["build"]["dockerfile"]).last("EXPOSE") == [str(PORTS[name])]


@pytest.mark.parametrize("setting", ["WEBAPP_HOST", "MLFLOW_HOST"])
def test_servers_listen_where_other_containers_reach_them(setting: str) -> None:
    [service] = [name for name in SERVED if setting in environment(name)]

    assert environment(service)[setting] == "0.0.0.0"  # noqa: S104  inside a container
    assert published(service)


def test_volumes_are_declared_and_used_and_files_exist() -> None:
    used = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    files = {source for source in used if source.startswith("./")}

    assert used - files == set(yaml.safe_load(COMPOSE)["volumes"])
    assert all((ROOT / source).exists() for source in files)
    assert not [
        volume for name in SERVICES for volume in SERVICES[name].get("volumes", []) if volume.startswith("./")
        and not volume.endswith(":ro")
    ]  # fmt: skip


# Where the images of others declare a volume. Docker makes one without a name where the file has nothing.
DECLARED = {"postgres": "/var/lib/postgresql/data", "valkey/valkey": "/data", "prom/prometheus": "/prometheus"}


@pytest.mark.parametrize("name", SERVICES)
def test_no_container_leaves_a_volume_without_a_name(name: str) -> None:
    place = DECLARED.get(SERVICES[name]["image"].partition(":")[0])
    images = [line for stage in Dockerfile.of(SERVICES[name]["build"]["dockerfile"]).stages for line in stage] if (
        name in OURS
    ) else []  # fmt: skip

    assert place is None or place in places(name)
    assert not [keyword for keyword, _ in images if keyword == "VOLUME"]
    assert all(":" in volume for volume in SERVICES[name].get("volumes", []))


def places(name: str) -> set[str]:
    """Where a container has a volume or a tmpfs."""
    mounts = {mount.partition(":")[0] for mount in SERVICES[name].get("tmpfs", [])}
    return mounts | {volume.split(":")[1] for volume in SERVICES[name].get("volumes", [])}


@pytest.mark.parametrize(("name", "path"), [
    ("subscriber", SETTINGS["SUBSCRIBER_HEARTBEAT"].default),
    ("worker", SETTINGS["WORKER_HEARTBEAT"].default),
    ("beat", SETTINGS["BEAT_HEARTBEAT"].default),
    ("beat", workers.__main__.parser().parse_args(["beat"]).schedule),
    ("flower", SETTINGS["FLOWER_DB"].default),
    ("trainer", SETTINGS["SPOOL_DIR"].default),
])  # fmt: skip
def test_a_program_that_writes_files_has_a_place_for_them(name: str, path: str) -> None:
    [workdir] = Dockerfile.of(SERVICES[name]["build"]["dockerfile"]).last("WORKDIR")

    assert str((Path(workdir) / path).parent) in places(name)


@each_served
def test_every_health_check_has_time_to_end_before_the_next(name: str) -> None:
    times = {key: int(value[:-1]) for key, value in SERVICES[name]["healthcheck"].items() if str(value).endswith("s")}

    assert times["timeout"] <= times["interval"]


@pytest.mark.parametrize("name", [name for name in SERVED if name in OURS and "-m" in check(name)])
def test_a_check_by_command_is_one_of_the_program(name: str) -> None:
    assert check(name)[:4] == ["CMD", "python", "-m", "workers"]
    options: argparse.Namespace = PARSERS["workers"]().parse_args(check(name)[4:])

    assert options.process == name


@pytest.mark.parametrize("name", [name for name in SERVED if "urllib" in str(check(name))])
def test_a_check_over_http_asks_the_program_and_fails_if_it_is_unhealthy(name: str) -> None:
    with _server(200) as (port, paths):
        assert _checks(name, port) == 0
    with _server(503) as (port, _):
        assert _checks(name, port) != 0
    assert _checks(name, port) != 0

    assert f"or {PORTS[name]}}}" in check(name)[3]
    assert paths == [{"webapp": "/readyz", "mlflow": "/health"}[name]]


def test_what_the_checks_over_http_ask_for_is_served() -> None:
    assert resolve("/readyz").url_name == "readyz"
    assert '"/health"' in _source("mlflow", "mlflow/server/__init__.py")
    assert '"/healthcheck"' in _source("flower", "flower/urls.py")


def _checks(name: str, port: int) -> int:
    """The exit status of a health check whose program listens on another port."""
    variables = {f"{part}_PORT": str(port) for part in ("WEBAPP", "MLFLOW")}
    line = [sys.executable, *check(name)[2:]]
    return subprocess.run(line, env={**os.environ, **variables}, stderr=subprocess.DEVNULL, check=False).returncode


@contextmanager
def _server(status: int) -> Iterator[tuple[int, list[str]]]:
    """Answer every GET with a status; yield the port and the requested paths."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port, paths
    finally:
        server.shutdown()
        server.server_close()


def _source(distribution: str, path: str) -> str:
    [file] = [file for file in files(distribution) or [] if str(file) == path]
    return file.read_text()
