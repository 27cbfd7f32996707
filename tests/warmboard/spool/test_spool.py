from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import resource
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warmboard.contract.events import RunStatus
from warmboard.errors import SpoolError, SpoolLockedError
from warmboard.spool import Ended, Spool, SpooledRun, records, spool
from warmboard.spool.records import Record
from warmboard.tracking import Batch, Metric

START = datetime(2026, 1, 2, 10, 30, 0, 123456, tzinfo=UTC)
END = Ended(status=RunStatus.FINISHED, end_time=datetime(2026, 1, 2, 11, tzinfo=UTC), epochs=7)


def creation(name: str) -> str:
    """Return a creation ID that starts with these hexadecimal digits."""
    return name.ljust(32, "0")


CREATION = creation("c1")


def a_run(**changes: Any) -> SpooledRun:
    values: dict[str, Any] = {
        "creation": CREATION,
        "tracking_uri": "http://mlflow.test:5000",
        "tracking_server": "default",
        "experiment_name": "two tower/ä",
        "run_name": "quick-test-3",
        "start_time": START,
        "tags": {"quick_test_id": "3"},
        "quick_test_id": 3,
    }
    return SpooledRun(**(values | changes))


def epoch(step: int, keys: int = 1, time: int = 1000) -> list[Record]:
    return list(records.metrics({f"key_{index}": step + index / 1000 for index in range(keys)}, step, time + step))


def steps(batch: Batch | None) -> list[int]:
    return [metric.step for metric in batch.metrics] if batch else []


def drain(source: Spool) -> list[Batch]:
    batches = []
    while batch := source.next():
        batches.append(batch)
        source.sent()
    return batches


class TestFile:
    def test_it_is_private_and_starts_with_the_run(self, tmp_path: Path) -> None:
        made = Spool.create(tmp_path / "spool", a_run())
        assert made.path == tmp_path / f"spool/{CREATION}.ndjson"
        assert stat.S_IMODE(made.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(made.path.parent.stat().st_mode) == 0o700
        made.close(delivered=False)
        again = Spool.open(made.path)
        assert again.run == a_run()
        assert (again.run_id, again.experiment_id, again.ended, again.waiting) == (None, None, None, 0)

    def test_notes_are_read_back(self, tmp_path: Path) -> None:
        made = Spool.create(tmp_path, a_run())
        made.append(epoch(0, 3))
        made.created("7", "r1")
        drain(made)
        made.append(epoch(1, 3))
        made.end(END)
        made.close(delivered=True)
        again = Spool.open(made.path)
        assert (again.run_id, again.experiment_id, again.ended, again.waiting) == ("r1", "7", END, 3)
        assert again.next() == Batch([Metric(f"key_{index}", 1 + index / 1000, 1, 1001) for index in range(3)])

    def test_values_are_read_back(self, tmp_path: Path) -> None:
        made = Spool.create(tmp_path, a_run())
        values = {"a": 0.1 + 0.2, "ä b/c": -0.0, "tiny": 5e-324, "inf": math.inf, "-inf": -math.inf, "nan": math.nan}
        made.append(list(records.metrics(values, 2, 17)))
        made.append(list(records.params({"note": "one\ntwo", "half": "\ud800\0"}, 18)))
        batch = made.next()
        assert batch
        assert {metric.key: str(metric.value) for metric in batch.metrics} == {k: str(v) for k, v in values.items()}
        assert {(metric.step, metric.timestamp) for metric in batch.metrics} == {(2, 17)}
        assert batch.params == {"note": "one\ntwo", "half": "__"}
        assert not {"NaN", "Infinity"} & {token.strip(":,{}") for token in made.path.read_text().split('"')[::2]}

    def test_it_stays_small_while_the_server_accepts_everything(self, tmp_path: Path) -> None:
        made = Spool.create(tmp_path, a_run())
        made.created("7", "r1")
        sizes = []
        for step in range(50):
            made.append(epoch(step, 20))
            drain(made)
            sizes.append(made.path.stat().st_size)
        assert max(sizes) < 1000
        assert (made.epochs, made.last_time) == (50, 1049)
        made.close(delivered=False)
        again = Spool.open(made.path)
        assert (again.run_id, again.epochs, again.last_time, again.waiting) == ("r1", 50, 1049, 0)

    def test_it_is_deleted_once_mlflow_has_everything(self, tmp_path: Path) -> None:
        made = Spool.create(tmp_path, a_run())
        made.append(epoch(0))
        drain(made)
        made.end(END)
        made.close(delivered=True)
        assert list(tmp_path.iterdir()) == []

    def test_closing_twice_and_later_calls_do_no_harm(self, tmp_path: Path) -> None:
        made = Spool.create(tmp_path, a_run())
        made.append(epoch(0))
        made.next()
        made.close(delivered=False)
        made.close(delivered=True)
        made.sent()
        made.end(END)
        assert Spool.open(made.path).waiting == 1


class TestCalls:
    def test_seven_epochs_of_127_values_are_a_call(self, tmp_path: Path) -> None:
        made = Spool.create(tmp_path, a_run())
        made.append([record for step in range(20) for record in epoch(step, 127)])
        assert [sorted(set(steps(batch))) for batch in drain(made)] == [
            list(range(7)),
            list(range(7, 14)),
            list(range(14, 20)),
        ]

    def test_the_limits_also_hold_within_one_record(self, tmp_path: Path) -> None:
        made = Spool.create(tmp_path, a_run())
        made.append(list(records.params({f"p{index}": index for index in range(150)}, 0)))
        made.append(epoch(0, 2345))
        batches = drain(made)
        assert sum(map(len, batches)) == 150 + 2345
        assert all(len(batch) <= 1000 and len(batch.params) <= 100 for batch in batches)
        keys = [metric.key for batch in batches for metric in batch.metrics]
        assert keys == [f"key_{index}" for index in range(2345)]

    def test_a_second_value_of_a_parameter_is_sent_apart(self, tmp_path: Path) -> None:
        made = Spool.create(tmp_path, a_run())
        for value in ("first", "second"):
            made.append(list(records.params({"optimizer": value}, 0)))
        assert [batch.params for batch in drain(made)] == [{"optimizer": "first"}, {"optimizer": "second"}]

    def test_next_is_the_same_until_sent(self, tmp_path: Path) -> None:
        made = Spool.create(tmp_path, a_run())
        made.append(epoch(0))
        assert steps(made.next()) == [0]
        made.append(epoch(1))
        assert steps(made.next()) == [0, 1]
        made.sent()
        assert made.next() is None

    def test_values_appended_during_sending_are_not_marked_as_sent(self, tmp_path: Path) -> None:
        made = Spool.create(tmp_path, a_run())
        made.append(epoch(0))
        made.next()
        made.append(epoch(1))
        made.sent()
        assert (made.waiting, steps(made.next())) == (1, [1])


class TestOtherFiles:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "is not a spool"),
            (b"a,b\n1,2\n", "is not a spool"),
            (b'{"warmboard_spool":1,"creation":"c1"', "is not a spool"),
            (b'{"warmboard_spool":2,"anything":"else"}\n', "newer version of warmboard"),
            (b'{"warmboard_spool":1,"creation":"c1"}\n', "first line is invalid"),
            (b"[" * 100_000 + b"\n", "is not a spool"),
        ],
    )
    def test_they_are_named_and_not_changed(self, content: bytes, message: str, tmp_path: Path) -> None:
        path = tmp_path / "x.ndjson"
        path.write_bytes(content)
        with pytest.raises(SpoolError, match=message):
            Spool.open(path)
        assert path.read_bytes() == content

    @pytest.mark.parametrize(
        "creation",
        ["", "../../escaped", "0" * 31, "0" * 33, "A" * 32, "0" * 32 + "\n", "' or 1=1", 7, None],
    )
    def test_a_creation_that_could_be_a_path_or_a_filter(self, creation: object, tmp_path: Path) -> None:
        content = records.encode({**json.loads(records.head(a_run())), "creation": creation})
        path = tmp_path / "x.ndjson"
        path.write_bytes(content)
        with pytest.raises(SpoolError, match="first line is invalid"):
            Spool.open(path)
        assert path.read_bytes() == content

    def test_a_missing_one(self, tmp_path: Path) -> None:
        with pytest.raises(SpoolError, match="No such file"):
            Spool.open(tmp_path / "none.ndjson")

    def test_lines_of_a_newer_version_are_ignored(self, tmp_path: Path) -> None:
        made = Spool.create(tmp_path, a_run())
        made.append(epoch(0))
        made.close(delivered=False)
        with made.path.open("ab") as file:
            file.write(b'{"mood":"good"}\n')
        again = Spool.open(made.path)
        again.append(epoch(1))
        assert steps(again.next()) == [0, 1]
        again.sent()
        assert again.waiting == 0

    def test_only_a_damaged_line_is_lost(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        made = Spool.create(tmp_path, a_run())
        for step in range(3):
            made.append(epoch(step))
        made.close(delivered=False)
        lines = made.path.read_bytes().splitlines(keepends=True)
        made.path.write_bytes(lines[0] + lines[1] + b"\0" * 40 + b"\n" + b'{"metrics":7}\n' + lines[3])
        again = Spool.open(made.path)
        assert "2 lines can't be read" in caplog.text
        assert (again.waiting, steps(again.next())) == (2, [0, 2])
        again.sent()
        assert (again.waiting, again.next()) == (0, None)


class TestLock:
    def test_the_spool_of_a_running_training_is_locked(self, tmp_path: Path) -> None:
        made = Spool.create(tmp_path, a_run())
        with pytest.raises(SpoolLockedError, match="training still runs"):
            Spool.open(made.path)
        made.close(delivered=False)
        first = Spool.open(made.path)
        with pytest.raises(SpoolLockedError, match="another flush"):
            Spool.open(made.path)
        first.close(delivered=False)
        Spool.open(made.path).close(delivered=False)

    def test_a_spool_that_another_flush_has_just_sent(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        made = Spool.create(tmp_path, a_run())
        made.append(epoch(0))
        made.close(delivered=False)
        lock = fcntl.flock

        def late(handle: int, operation: int) -> None:
            made.path.unlink()
            lock(handle, operation)

        monkeypatch.setattr(fcntl, "flock", late)
        with pytest.raises(SpoolLockedError, match="just sent it"):
            Spool.open(made.path)

    def test_a_forked_child_does_not_keep_the_lock(self, tmp_path: Path) -> None:
        program = (
            "import os, sys, time; from pathlib import Path\n"
            "from tests.warmboard.spool.test_spool import a_run, epoch\n"
            "from warmboard.spool import Spool\n"
            f"spool = Spool.create(Path({str(tmp_path)!r}), a_run()); spool.append(epoch(0))\n"
            "child = os.fork()\n"
            # Both write to one pipe, where `print` may write a line and its line feed separately.
            "if not child: os.write(1, b'ready\\n'); time.sleep(60)\n"
            "else: os.write(1, b'%d\\n' % child); sys.stdin.read(); os._exit(1)\n"
        )
        parent = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert parent.stdin
        assert parent.stdout
        said = {parent.stdout.readline().strip(), parent.stdout.readline().strip()}
        (child,) = (int(line) for line in said if line != "ready")
        try:
            with pytest.raises(SpoolLockedError):
                Spool.open(tmp_path / f"{CREATION}.ndjson")
            parent.kill()
            parent.wait(20)
            assert Spool.open(tmp_path / f"{CREATION}.ndjson").waiting == 1
        finally:
            os.kill(child, 9)
            parent.stdin.close()
            parent.stdout.close()


def test_a_disk_that_hangs_does_not_delay_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(spool, "HUNG_DISK_SECONDS", 0.05)
    made = Spool.create(tmp_path, a_run())
    hanging, released = threading.Event(), threading.Event()
    write = os.pwrite

    def hang(*arguments: Any) -> int:
        hanging.set()
        released.wait(60)
        return write(*arguments)

    monkeypatch.setattr(os, "pwrite", hang)
    writer = threading.Thread(target=made.append, args=[epoch(0)], daemon=True)
    writer.start()
    assert hanging.wait(20)
    made.end(END)
    made.close(delivered=True)
    assert not released.is_set()
    assert caplog.text.count("disk of SPOOL_DIR hangs") == 1
    released.set()
    writer.join(20)
    monkeypatch.undo()
    made.close(delivered=False)
    assert Spool.open(made.path).waiting == 1


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Simulate a full disk: no file of this process grows beyond this number of bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class TestDisk:
    @pytest.fixture(autouse=True)
    def _again_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(spool, "DISK_AGAIN_SECONDS", -1.0)

    def test_a_disk_that_fills_up_during_a_run(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        made = Spool.create(tmp_path, a_run())
        made.append(epoch(0, 100))
        whole = made.path.read_bytes()
        with largest_file(len(whole) + 1000):
            made.append(epoch(1, 100))
            made.append(epoch(2, 100))
            assert made.waiting == 300
            assert caplog.text.count("kept in memory") == 1
            assert set(steps(made.next())) == {0}
            made.sent()
            assert set(steps(made.next())) == {1, 2}
            assert made.waiting == 200
        made.append(epoch(3, 100))
        made.sent()
        assert set(steps(made.next())) == {3}
        made.close(delivered=False)
        again = Spool.open(made.path)
        assert (again.waiting, set(steps(again.next()))) == (100, {3})

    def test_half_a_line_does_not_damage_the_next(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        made = Spool.create(tmp_path, a_run())
        write = os.pwrite

        def half(handle: int, data: bytes, offset: int) -> int:
            if len(data) < 100:
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(handle, data[: len(data) // 2], offset)

        monkeypatch.setattr(os, "pwrite", half)
        made.append(epoch(0, 50))
        monkeypatch.setattr(os, "pwrite", write)
        made.append(epoch(1))
        made.close(delivered=False)
        again = Spool.open(made.path)
        assert (again.waiting, set(steps(again.next()))) == (51, {0, 1})

    def test_a_folder_that_can_not_be_written(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        (tmp_path / "file").write_text("in the way")
        made = Spool.create(tmp_path / "file/spool", a_run())
        assert "SPOOL_DIR" in caplog.text
        for step in range(3):
            made.append(epoch(step))
        assert steps(made.next()) == [0, 1, 2]
        made.sent()
        made.append(epoch(3))
        made.close(delivered=False)
        assert (made.waiting, made.lost) == (0, 1)
        assert "1 values are LOST" in caplog.text

    def test_beyond_the_bound_the_oldest_are_lost_except_those_being_sent(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(spool, "MEMORY_VALUES", 5)
        (tmp_path / "file").write_text("in the way")
        made = Spool.create(tmp_path / "file/spool", a_run())
        made.append(epoch(0))
        assert steps(made.next()) == [0]
        for step in range(1, 8):
            made.append(epoch(step))
        assert (made.waiting, made.lost) == (5, 3)
        made.sent()
        assert steps(made.next()) == [4, 5, 6, 7]
        assert caplog.text.count("LOST") == 1

    def test_a_folder_that_can_be_written_later(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the way")
        made = Spool.create(tmp_path / "file", a_run())
        made.created("7", "r1")
        made.append(epoch(0))
        made.append(epoch(1))
        assert steps(made.next()) == [0, 1]
        (tmp_path / "file").unlink()
        made.append(epoch(2))
        made.sent()
        made.close(delivered=False)
        again = Spool.open(tmp_path / f"file/{CREATION}.ndjson")
        assert (again.run_id, again.waiting, steps(again.next())) == ("r1", 1, [2])

    def test_a_deleted_file_is_reported_at_the_end(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        made = Spool.create(tmp_path, a_run())
        made.append(epoch(0, 4))
        made.path.unlink()
        made.close(delivered=False)
        assert (made.waiting, made.lost) == (0, 4)
        assert "LOST" in caplog.text


def test_rejected_values_are_kept_with_the_reason(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = Spool.create(tmp_path, a_run())
    made.keep_rejected([(Batch([Metric("loss", math.nan, 3, 17)], {"optimizer": "adam"}), "no such run")])
    path = tmp_path / f"{CREATION}.refused.ndjson"
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"key": "loss", "value": "NaN", "step": 3, "time": 17, "reason": "no such run"},
        {"param": "optimizer", "value": "adam", "reason": "no such run"},
    ]
    assert str(path) in caplog.text
    assert "2 values for good" in caplog.text


class Model:
    """A spool as a plain list, with the file's size after each step, to know what a crash at any byte must leave."""

    def __init__(self, folder: Path) -> None:
        self.spool = Spool.create(folder, a_run())
        self.head = self.size
        self.written: list[tuple[int, int]] = []
        self.marks: list[tuple[int, int]] = [(0, 0)]
        self.out: list[int] = []
        self.gone = 0
        self.number = 0

    @property
    def size(self) -> int:
        return self.spool.path.stat().st_size

    def append(self, values: int) -> None:
        logged = [self.number + index for index in range(values)]
        self.number += values
        # Half a line that a crash left is overwritten.
        before = self.spool._contents.end
        for number in logged:
            record = next(records.metrics({f"k{number}": float(number)}, number, number))
            self.spool.append([record])
            self.written.append((number, self.size))
        assert self.size > before or not values

    def next(self) -> None:
        self.out = steps(self.spool.next())
        assert self.out == [number for number, _ in self.written[self.gone :]]

    def sent(self) -> None:
        before = self.size
        self.spool.sent()
        self.gone += len(self.out)
        self.out = []
        if self.gone == len(self.written) and self.size < before:
            self.written, self.marks, self.gone = [], [(0, 0)], 0
        else:
            self.marks.append((self.size, self.gone))

    def created(self, _: int = 0) -> None:
        self.spool.created("7", "r1")

    def crash(self, share: float) -> None:
        at = self.head + round(share * (self.size - self.head))
        self.spool._file.close()  # type: ignore[union-attr]
        os.truncate(self.spool.path, at)
        self.spool = Spool.open(self.spool.path)
        self.written = [(number, end) for number, end in self.written if end <= at]
        self.marks = [(end, gone) for end, gone in self.marks if end <= at]
        self.gone = self.marks[-1][1]
        self.out = []
        assert self.spool.waiting == len(self.written) - self.gone
        self.next()


OPERATIONS = st.one_of(
    st.tuples(st.just("append"), st.integers(0, 4)),
    st.tuples(st.just("next")),
    st.tuples(st.just("sent")),
    st.tuples(st.just("created")),
    st.tuples(st.just("crash"), st.floats(0, 1)),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(OPERATIONS, max_size=25))
def test_a_crash_at_any_byte_loses_nothing_that_was_written_and_not_sent(operations: list[tuple[Any, ...]]) -> None:
    with TemporaryDirectory() as folder:
        model = Model(Path(folder))
        for name, *arguments in [*operations, ("crash", 1.0)]:
            getattr(model, name)(*arguments)
        drain(model.spool)
        assert model.spool.waiting == 0
        model.spool.close(delivered=True)
        assert os.listdir(folder) == []


@pytest.mark.parametrize("share", range(0, 101, 5))
def test_a_truncated_first_line_is_not_a_spool(share: int, tmp_path: Path) -> None:
    made = Spool.create(tmp_path, a_run())
    made.close(delivered=False)
    size = made.path.stat().st_size
    os.truncate(made.path, size * share // 100)
    if share == 100:
        assert Spool.open(made.path).run == a_run()
    else:
        with pytest.raises(SpoolError, match="not changed"):
            Spool.open(made.path)
