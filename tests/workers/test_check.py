"""The health check of a worker asks over the broker."""

import pytest

from workers.check import check_worker
from workers.heartbeat import UnhealthyError


@pytest.mark.usefixtures("queue")
def test_a_worker_that_does_not_run_is_unhealthy() -> None:
    with pytest.raises(UnhealthyError, match=r"worker celery@\S+ does not answer over the broker"):
        check_worker()
