"""Which tests share a process when pytest-xdist runs several (``-n``), and which begin first.

Tests of one group run in one process, one after the other: they share the servers that session fixtures start. The
longest groups begin first, so that no process works alone at the end.
"""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadScopeScheduling

GROUPS = {
    "tests/integration/test_differential.py": "mlflow",
    "tests/integration/": "stack",
    "tests/browser/": "browser",
    "tests/mlflow_server/": "mlflow",
    "tests/conformance/": "pubsub",
}
"""Path → group, the first that fits. Every other file is a group of its own."""
ORDER = ["stack", "browser", "mlflow", "pubsub"]


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
