"""Files by URI: a local folder, or a Cloud Storage bucket (``gs://BUCKET/PATH``)."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from trainer.errors import StorageError

TIMEOUT_SECONDS = 30.0


def join(base: str, *parts: str) -> str:
    """The URI of a file below ``base``; a local path becomes an absolute ``file://`` URI."""
    if base.startswith("gs://"):
        return "/".join([base.rstrip("/"), *parts])
    return _local(base).joinpath(*parts).resolve().as_uri()


def write(uri: str, data: bytes, emulator: str | None = None) -> None:
    """Creates or replaces the file at ``uri``: readers see the old content or the new, never a part.

    ``emulator`` is the address of a Cloud Storage emulator, if any. Raises StorageError.
    """
    try:
        if uri.startswith("gs://"):
            _blob(uri, emulator).upload_from_string(data, content_type="application/json", timeout=TIMEOUT_SECONDS)
        else:
            _replace(_local(uri), data)
    except Exception as error:
        raise StorageError(f"{uri} can't be written: {error}") from error


def read(uri: str, emulator: str | None = None) -> bytes:
    """The content of the file at ``uri``. Raises StorageError."""
    try:
        if uri.startswith("gs://"):
            content: bytes = _blob(uri, emulator).download_as_bytes()
            return content
        return _local(uri).read_bytes()
    except Exception as error:
        raise StorageError(f"{uri} can't be read: {error}") from error


def _local(uri: str) -> Path:
    return Path(uri.removeprefix("file://")).expanduser()


def _replace(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _blob(uri: str, emulator: str | None) -> Any:
    # Imported here: half a second that runs with a local folder don't pay.
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    bucket, _, name = uri.removeprefix("gs://").partition("/")
    if not bucket or not name:
        raise ValueError("a file in Cloud Storage is named gs://BUCKET/PATH")
    if emulator:
        address = emulator if "://" in emulator else f"http://{emulator}"
        client = storage.Client(
            project="emulator",
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": address},
        )
    else:
        client = storage.Client()
    return client.bucket(bucket).blob(name)
