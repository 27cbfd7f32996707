"""Which tests share a process when pytest-xdist runs several (``-n``), and which begin first.

Tests of one group run in one process, one after the other: they share the servers that session fixtures start. The
longest groups begin first, so that no process works alone at the end.
"""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadScopeScheduling

GROUPS = {
    # The stack of `make up`.
    "tests/integration/test_differential.py": "mlflow",
    "tests/integration/test_numbers.py": "mlflow",
    "tests/integration/": "stack",
    # A webapp with a browser that looks at it.
    "tests/browser/": "browser",
    # MLflow's servers: ours, a stock one, one of 2.9.2.
    "tests/mlflow_server/": "mlflow",
    "tests/deploy/server/test_tutorial.py": "mlflow",
    "tests/deploy/server/test_wheels.py": "mlflow",
    "tests/trainer/test_main.py": "mlflow",
    "tests/warmboard/keras/test_catalogue.py": "mlflow",
    "tests/warmboard/run/test_both_servers.py": "mlflow",
    "tests/warmboard/statistics/test_custom_loops.py": "mlflow",
    "tests/warmboard/test_bare_environment.py": "mlflow",
    # Both servers of Pub/Sub.
    "tests/conformance/": "pubsub",
    "tests/workers/pubsub/": "pubsub",
    "tests/upgrade/": "upgrade",
}
"""Path → group, the first that fits. Every other file is a group of its own."""
ORDER = [
    "browser",
    "stack",
    "mlflow",
    "upgrade",
    "pubsub",
    "tests/chaos/test_storm.py",
    "tests/warmboard/keras/test_callbacks.py",
]


def group_of(nodeid: str) -> str:
    """The group of a test, by its node ID or its path below the checkout."""
    path = nodeid.partition("::")[0]
    return next((group for prefix, group in GROUPS.items() if path.startswith(prefix)), path)


def rank(nodeid: str) -> int:
    """Its place among the groups: the lower, the earlier it begins."""
    group = group_of(nodeid)
    return ORDER.index(group) if group in ORDER else len(ORDER)


class Groups(LoadScopeScheduling):
    """Hands out whole groups, in the order in which they were collected."""

    def __init__(self, config: pytest.Config, log: object = None) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
