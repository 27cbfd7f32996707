"""What is said of versions, OUTPUT_URI, and our own processes."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from deploy.local.process import free_port
from tests.workers.doctor.seen import problems, the_failure, the_warning
from tests.workers.fetch.small_server import serving
from workers.doctor import files, processes, versions
from workers.doctor.finding import Finding, Given
from workers.doctor.versions import Bound
from workers.heartbeat import touch
from workers.settings import Settings


def given(**environ: str) -> Given:
    return Given(environ, Settings.read(environ))


def test_the_pinned_versions_are_fine() -> None:
    [found] = versions.look(given())
    assert problems([found]) == []
    assert "celery 5.6" in found.text


@pytest.mark.parametrize(
    ("bound", "words"),
    [
        (Bound("celery", (5, 7), (5, 8), "why"), "celery 5.6.3 is installed, but must be 5.7 or newer"),
        (Bound("redis", (5,), (6, 4), "why"), "redis 6.4.0 is installed, but must be 5 or newer and older than 6.4"),
        (Bound("no-such-package", (1,), (2,), "why"), "no-such-package is not installed"),
    ],
)
def test_other_versions_are_named_with_the_reason(bound: Bound, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "BOUNDS", (bound,))
    text = the_failure(versions.look(given()))
    assert words in text
    assert "(why)" in text


def test_an_unsupported_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 15, 0))
    assert "is not supported → Use Python 3.11 to 3.13." in the_failure(versions.look(given()))


@pytest.mark.parametrize("text", ["5.7.0rc1", "5.7", "5.7.0", "5.7.0.post2", "5.7.0+local"])
def test_a_version_is_its_numbers(text: str) -> None:
    assert versions.parsed(text)[:2] == (5, 7)


def test_a_folder(tmp_path: Path) -> None:
    assert problems(files.look(given(OUTPUT_URI=str(tmp_path)))) == []
    assert "does not exist" in the_warning(files.look(given(OUTPUT_URI=f"{tmp_path}/none")))
    (tmp_path / "file").touch()
    assert "is not a folder" in the_failure(files.look(given(OUTPUT_URI=(tmp_path / "file").as_uri())))
    assert "not looked at" in next(files.look(given(OUTPUT_URI="gs://x", DISCOVER_SECONDS="0"))).text


def bucket(status: int, body: bytes) -> Finding:
    with serving(lambda *_: (status, body, {"Content-Type": "application/json"})) as server:
        [found] = files.look(given(OUTPUT_URI="gs://runs/of/mine", STORAGE_EMULATOR_HOST=server.address))
    return found


def test_a_bucket() -> None:
    assert problems([bucket(200, b'{"items": []}')]) == []
    assert "Create the bucket of gs://runs/of/mine" in the_failure([bucket(404, b"{}")])
    assert "roles/storage.objectViewer" in the_failure([bucket(403, b"{}")])
    nowhere = f"http://127.0.0.1:{free_port()}"
    assert "STORAGE_EMULATOR_HOST" in the_failure(files.look(given(OUTPUT_URI="gs://x", STORAGE_EMULATOR_HOST=nowhere)))
    assert "gs://BUCKET/PATH" in the_failure(files.look(given(OUTPUT_URI="gs:///")))


@pytest.mark.parametrize("name", ["subscriber", "worker", "beat"])
def test_a_heartbeat(name: str, tmp_path: Path) -> None:
    paths = {f"{each.upper()}_HEARTBEAT": str(tmp_path / each) for each in ("subscriber", "worker", "beat")}
    for each in ("subscriber", "worker", "beat"):
        touch(tmp_path / each)
    assert problems(processes.heartbeats(given(**paths))) == []
    os.utime(tmp_path / name, (time.time() - 100,) * 2)
    assert f"the {name} does not work: its last heartbeat, {tmp_path / name}, is 100 s old" in the_failure(
        processes.heartbeats(given(**paths))
    )
    os.utime(tmp_path / name, (time.time() + 100,) * 2)
    assert "100 s in the future" in the_failure(processes.heartbeats(given(**paths)))
    (tmp_path / name).unlink()
    assert f"no {name} has a heartbeat on this machine" in the_warning(processes.heartbeats(given(**paths)))


def test_where_none_of_ours_runs_there_is_one_warning(tmp_path: Path) -> None:
    """As in a container that was only started for doctor."""
    paths = {f"{each.upper()}_HEARTBEAT": str(tmp_path / each) for each in ("subscriber", "worker", "beat")}
    found = the_warning(processes.heartbeats(given(**paths)))
    assert "no subscriber, worker or beat has a heartbeat here" in found
    assert "docker compose ps" in found


def test_webapp_and_flower_are_asked_if_they_are_known() -> None:
    assert list(processes.servers(given())) == []
    statuses = {"/readyz": 503, "/healthcheck": 200}
    with serving(lambda path, *_: (statuses[path], b'{"away": ["redis"]}', {})) as server:
        found = list(processes.servers(given(WEBAPP_PORT=str(server.server_port), FLOWER_URL=server.address)))
    assert "webapp answers 503 at http://127.0.0.1:" in the_warning(found)
    assert '{"away": ["redis"]}' in the_warning(found)
    assert "Flower answers at" in found[1].text
    assert "Flower does not answer" in the_warning(
        processes.servers(given(FLOWER_URL=f"http://127.0.0.1:{free_port()}"))
    )
