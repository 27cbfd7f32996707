"""A Compose project that exists for the test: its commands, containers and volumes."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAME = "warmboard-test"
PASSED_ON = ("PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY")
"""Of this process's environment. The settings in it are for other stacks."""
UNNAMED = re.compile(r"[0-9a-f]{64}")


class CommandError(Exception):
    """A command of the engine failed; the text ends with what it printed."""


def missing() -> str:
    """Why no project can be started here, or nothing."""
    if not shutil.which("docker"):
        return "no container engine"
    for line, reason in ((["docker", "info"], "no container engine"), (["docker", "compose", "version"], "no Compose")):
        if subprocess.run(line, capture_output=True, check=False).returncode:
            return f"{reason}: `{' '.join(line)}` fails"
    return ""


@dataclass
class Project:
    """One checkout's Compose file, started under the test's name. Another checkout's has the same containers and data.

    ``files`` are Compose files of the test that are added to the checkout's, ``variables`` what a person has in .env.
    """

    folder: Path
    files: tuple[Path, ...] = ()
    profiles: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)

    def compose(self, *words: str, stdin: str = "", seconds: float = 600) -> str:
        """What ``docker compose`` writes to standard output. Raises CommandError."""
        return self.docker(*self._options(), *words, stdin=stdin, seconds=seconds)

    def compose_aloud(self, *words: str, seconds: float = 600) -> tuple[str, str]:
        """What it writes to standard output, and to standard error."""
        done = self._done([*self._options(), *words], "", seconds)
        return done.stdout, done.stderr

    def _options(self) -> list[str]:
        files = [self.folder / "docker-compose.yml", *self.files]
        options = [f"--project-name={NAME}", f"--project-directory={self.folder}"]
        options += [f"--file={file}" for file in files] + [f"--profile={profile}" for profile in self.profiles]
        return ["compose", *options]

    def docker(self, *words: str, stdin: str = "", seconds: float = 600) -> str:
        return self._done(words, stdin, seconds).stdout

    def _done(self, words: Sequence[str], stdin: str, seconds: float) -> subprocess.CompletedProcess[str]:
        environ = {name: os.environ[name] for name in PASSED_ON if name in os.environ} | self.variables
        done = subprocess.run(
            ["docker", *words], env=environ, cwd=self.folder, input=stdin, capture_output=True, text=True,
            timeout=seconds, check=False,
        )  # fmt: skip
        if done.returncode:
            shown = " ".join(word for word in words if not word.startswith("--file"))
            told = done.stdout[-2000:] + done.stderr[-4000:]
            raise CommandError(f"docker {shown} exits with {done.returncode}:\n{told}")
        return done

    def up(self, *words: str) -> None:
        """Start everything, or the named services, and wait until it is healthy."""
        self.compose("up", "--detach", "--wait", "--wait-timeout=600", *words, seconds=900)

    def containers(self, service: str) -> list[str]:
        return self.compose("ps", "--quiet", service).split()

    def inspect(self, *containers: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.docker("inspect", *containers)) if containers else []
        return found

    def query(self, statement: str) -> list[list[str]]:
        """The rows of a statement in the store, past all of our code."""
        psql = ["psql", "--username=warmboard", "--no-align", "--tuples-only", "--field-separator=\t"]
        found = self.compose("exec", "-T", "postgres", *psql, "--command", statement)
        return [line.split("\t") for line in found.splitlines()]

    def volumes(self, pattern: re.Pattern[str]) -> set[str]:
        return {name for name in self.docker("volume", "ls", "--quiet").split() if pattern.fullmatch(name)}

    def delete(self) -> None:
        """Delete the containers, the network and all data."""
        self.compose("--profile=*", "down", "--volumes", "--remove-orphans", "--timeout=10")


def secret_variables() -> dict[str, str]:
    """What .env.example says is required."""
    return {
        "POSTGRES_PASSWORD": secrets.token_hex(24),
        "WEBAPP_DATABASE_PASSWORD": secrets.token_hex(24),
        "WEBAPP_SECRET_KEY": secrets.token_hex(32),
        "FLOWER_BASIC_AUTH": f"admin:{secrets.token_hex(12)}",
        "WARMBOARD_TAG": "compose-test",
    }


def image_is_there(project: Project, image: str) -> bool:
    """Whether an image is on this machine, or can be pulled."""
    for line in (["image", "inspect", image], ["pull", "--quiet", image]):
        try:
            project.docker(*line)
        except CommandError:
            continue
        return True
    return False


def images(project: Project) -> Mapping[str, str]:
    """The image of each service."""
    services = json.loads(project.compose("config", "--format=json"))["services"]
    return {name: str(service["image"]) for name, service in services.items()}
