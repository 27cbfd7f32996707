"""Files by URI: a local folder, or a Cloud Storage bucket (``gs://BUCKET/PATH``)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from warmboard.errors import StorageError

T = TypeVar("T")
TIMEOUT_SECONDS = 30.0
ATTEMPTS = 3


def join(base: str, *parts: str) -> str:
    """Return the URI of a file below ``base``. A local path becomes an absolute ``file://`` URI."""
    if base.startswith("gs://"):
        return "/".join([base.rstrip("/"), *parts])
    return _local(base).joinpath(*parts).resolve().as_uri()


def write(
    uri: str,
    data: bytes,
    emulator: str | None = None,
    *,
    content_type: str = "application/json",
    within: float = TIMEOUT_SECONDS,
) -> None:
    """Create or replace the file at ``uri``. Readers see the old content or the new, never a part.

    In a bucket, the file is replaced only if its generation is still that of the start of the write. So an upload whose
    answer was lost can be retried, and no writer silently undoes the work of another. ``emulator`` is the address of a
    Cloud Storage emulator, if any; ``within`` is the timeout of each request in seconds. Raises StorageError.
    https://cloud.google.com/storage/docs/request-preconditions
    """

    def put() -> None:
        if uri.startswith("gs://"):
            _replace_blob(_blob(uri, emulator), data, content_type, within)
        else:
            _with_temporary(_local(uri), data, os.replace)

    _wrap_errors(f"{uri} can't be written", put)


def create(uri: str, data: bytes, emulator: str | None = None, *, within: float = TIMEOUT_SECONDS) -> bool:
    """Create the file at ``uri``. Return False, and write nothing, if it exists. Raises StorageError."""

    def put() -> bool:
        if uri.startswith("gs://"):
            return _upload(_blob(uri, emulator), data, "application/json", within, generation=0)
        try:
            _with_temporary(_local(uri), data, os.link)
        except FileExistsError:
            return False
        return True

    return _wrap_errors(f"{uri} can't be written", put)


def read(uri: str, emulator: str | None = None) -> bytes:
    """Return the content of the file at ``uri``. Raises StorageError."""

    def get() -> bytes:
        if uri.startswith("gs://"):
            content: bytes = _blob(uri, emulator).download_as_bytes(
                timeout=TIMEOUT_SECONDS, retry=_retry(TIMEOUT_SECONDS)
            )
            return content
        return _local(uri).read_bytes()

    return _wrap_errors(f"{uri} can't be read", get)


def delete(uri: str, emulator: str | None = None) -> None:
    """Delete the file at ``uri``. Raises StorageError."""

    def remove() -> None:
        if uri.startswith("gs://"):
            _blob(uri, emulator).delete(timeout=TIMEOUT_SECONDS)
        else:
            _local(uri).unlink()

    _wrap_errors(f"{uri} can't be deleted", remove)


def _wrap_errors(what: str, action: Callable[[], T]) -> T:
    try:
        return action()
    except Exception as error:  # files, HTTP and authentication have no base class in common
        raise StorageError(f"{what}: {error}") from error


def _local(uri: str) -> Path:
    if uri.startswith("file://"):
        return Path(unquote(urlsplit(uri).path))
    if "://" in uri:
        raise ValueError("give gs://BUCKET/PATH or a folder")
    return Path(uri).expanduser()


def _with_temporary(path: Path, data: bytes, finish: Callable[[str, Path], None]) -> None:
    """Write the data to a temporary file beside ``path``, which ``finish`` then moves to ``path`` in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        finish(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _replace_blob(blob: Any, data: bytes, content_type: str, within: float) -> None:
    for _ in range(ATTEMPTS):
        there = blob.bucket.get_blob(blob.name, timeout=within, retry=_retry(within))
        if _upload(blob, data, content_type, within, generation=there.generation if there else 0):
            return
        # Another writer was faster, or the answer to our first attempt was lost.
        if blob.download_as_bytes(timeout=within) == data:
            return
    raise OSError(f"another writer replaced it {ATTEMPTS} times in a row")


def _upload(blob: Any, data: bytes, content_type: str, within: float, generation: int) -> bool:
    """Upload if the file has this generation; 0 means that no file exists. Return False if it has another."""
    from google.api_core.exceptions import PreconditionFailed

    try:
        blob.upload_from_string(
            data, content_type=content_type, timeout=within, retry=_retry(within), if_generation_match=generation
        )
    except PreconditionFailed:
        return False
    return True


def _retry(within: float) -> Any:
    from google.cloud.storage.retry import DEFAULT_RETRY

    return DEFAULT_RETRY.with_timeout(within)


def _blob(uri: str, emulator: str | None) -> Any:
    # Imported here: it takes half a second, which runs with a local folder save.
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
