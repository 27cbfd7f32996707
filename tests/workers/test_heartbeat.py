"""A missing or an old heartbeat is unhealthy, a fresh one is healthy."""

import os
import time
from pathlib import Path

import pytest

from workers.heartbeat import UnhealthyError, check_heartbeat, touch


def test_a_heartbeat_shows_whether_its_process_works(tmp_path: Path) -> None:
    heartbeat = tmp_path / "new folder" / "subscriber.heartbeat"
    with pytest.raises(UnhealthyError, match="there is no heartbeat"):
        check_heartbeat(heartbeat, 30)
    touch(heartbeat)
    assert check_heartbeat(heartbeat, 30) == "the last heartbeat is 0 s old"
    os.utime(heartbeat, (time.time() - 35,) * 2)
    with pytest.raises(UnhealthyError, match="is 35 s old"):
        check_heartbeat(heartbeat, 30)


def test_a_heartbeat_that_can_not_be_written_ends_no_process(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    heartbeat = tmp_path / "file" / "subscriber.heartbeat"
    touch(heartbeat)
    assert f"no heartbeat at {heartbeat}" in caplog.text
    with pytest.raises(UnhealthyError, match="there is no heartbeat"):
        check_heartbeat(heartbeat, 30)
