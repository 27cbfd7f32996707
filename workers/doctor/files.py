"""OUTPUT_URI, where beat looks for runs that no event announced: a folder or a bucket."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

from workers.discover.files import Bucket
from workers.doctor.finding import Finding, Findings, Given, failure, ok, warning
from workers.errors import PermanentError, TransientError
from workers.settings import Settings

SUBJECT = "OUTPUT_URI"
SECONDS = 5.0


def look(given: Given) -> Findings:
    settings = given.settings
    if not settings.discover_seconds:
        yield ok(SUBJECT, "not looked at: DISCOVER_SECONDS is 0, so no sweep reads it")
    elif settings.output_uri.startswith("gs://"):
        yield _bucket(settings)
    else:
        yield _folder(settings.output_uri)


def _folder(uri: str) -> Finding:
    path = Path(unquote(uri.removeprefix("file://"))).expanduser().resolve()
    if not path.exists():
        fix = "Give trainers and workers the same OUTPUT_URI. If no trainer has written yet, there is nothing to do."
        return warning(SUBJECT, f"the folder {path} does not exist, so no run is found there", fix)
    if not path.is_dir():
        return failure(SUBJECT, f"{path} is not a folder", "Correct OUTPUT_URI.")
    if not os.access(path, os.R_OK | os.X_OK):
        return failure(SUBJECT, f"the folder {path} can't be read", "Let the user of beat's process read it.")
    return ok(SUBJECT, f"the folder {path} can be read")


def _bucket(settings: Settings) -> Finding:
    try:
        Bucket(settings).probe(SECONDS)
    except (TransientError, PermanentError) as error:
        return failure(SUBJECT, str(error), _fix(str(error), settings))
    return ok(SUBJECT, f"the bucket of {settings.output_uri} can be read")


def _fix(text: str, settings: Settings) -> str:
    # Not a part of a port.
    statuses = set(re.findall(r"\b40[134]\b", text))
    if "404" in statuses or "does not exist" in text:
        return f"Create the bucket of {settings.output_uri}, or correct OUTPUT_URI."
    if statuses:
        return "Give beat's identity roles/storage.objectViewer on the bucket."
    if "credentials" in text:
        return "Set GOOGLE_APPLICATION_CREDENTIALS, or STORAGE_EMULATOR_HOST for an emulator."
    return "Check the network and STORAGE_EMULATOR_HOST; unset it to use Google's Cloud Storage."
