"""The health check of a worker asks over the broker."""

from pathlib import Path

import pytest

from workers.check import check_worker
from workers.heartbeat import UnhealthyError


@pytest.mark.usefixtures("queue")
def test_a_worker_that_does_not_run_is_unhealthy(tmp_path: Path) -> None:
    name = tmp_path / "worker.name"
    with pytest.raises(UnhealthyError, match=r"there is no name at \S+worker\.name: the worker has not started"):
        check_worker(name)
    name.write_text("celery@localhost-1234")
    with pytest.raises(UnhealthyError, match="worker celery@localhost-1234 does not answer over the broker"):
        check_worker(name)
