"""Google's Pub/Sub emulator, where it is installed: Java and the jar of the gcloud component `pubsub-emulator`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

_JAR = "platform/pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar"


class NotInstalledError(RuntimeError):
    """Java or the emulator's jar was not found; the message says which, and how to get it."""


def command(host: str, port: int) -> list[str]:
    """The command that runs the emulator in the foreground; it is ready when `GET /` answers `Ok`.

    The jar is the one that PUBSUB_EMULATOR_JAR names, else the newest in the gcloud installation. It is run directly:
    ending `gcloud beta emulators pubsub start` leaves its Java running. Raises NotInstalledError.
    """
    java = shutil.which("java")
    if java is None:
        raise NotInstalledError("Google's Pub/Sub emulator needs Java, and there is no `java` on the PATH")
    return [java, "-jar", str(_jar()), f"--host={host}", f"--port={port}"]


def _jar() -> Path:
    named = os.environ.get("PUBSUB_EMULATOR_JAR")
    if named:
        if not Path(named).is_file():
            raise NotInstalledError(f"PUBSUB_EMULATOR_JAR names {named}, which is not a file")
        return Path(named)
    for root in _installations():
        jars = sorted(root.glob(_JAR), key=lambda jar: [int(part) for part in jar.name.split("-")[3].split(".")])
        if jars:
            return jars[-1]
    raise NotInstalledError(
        "Google's Pub/Sub emulator was not found: install it with `gcloud components install pubsub-emulator`,"
        " or name its jar in PUBSUB_EMULATOR_JAR"
    )


def _installations() -> Iterator[Path]:
    gcloud = shutil.which("gcloud")
    if gcloud:
        yield Path(gcloud).resolve().parent.parent
    yield from (Path("/usr/lib/google-cloud-sdk"), Path("/opt/google-cloud-sdk"), Path.home() / "google-cloud-sdk")
