"""The environment that Django starts with in tests. A pytest plugin (see pyproject.toml), since pytest-django reads the
settings before it reads any conftest.

Processes of pytest-xdist each import it: every one has a Valkey, tables and gathered static files of its own.
"""

import gc
import os
import tempfile

from deploy.local.process import free_port
from warmboard.contract.settings import SETTINGS

GIVEN = {
    name: value
    for name, value in os.environ.items()
    if name not in {*SETTINGS, "PUBSUB", "DJANGO_SETTINGS_MODULE"} and not name.startswith(("FLOWER_", "MLFLOW_"))
}
"""The environment as it was, less every setting of ours: no server that somebody has configured is touched. Processes
of pytest-xdist inherit Django's settings module from the first, which is not that of every program.
"""
VALKEY_PORT = free_port()
_static = tempfile.TemporaryDirectory(prefix="warmboard-static-")

# Collection and tracing by TensorFlow make millions of objects that stay. Looking for garbage among them took 15 % of
# the processor time of collection.
gc.set_threshold(20_000, 20, 20)

os.environ.update(
    {
        # The conformance suite uses gRPC in this process, which starts others later: its fork handlers abort them.
        "GRPC_ENABLE_FORK_SUPPORT": "0",
        # Playwright's event loop stays in its thread until the session ends; Django would take the tests after it for
        # asynchronous code.
        "DJANGO_ALLOW_ASYNC_UNSAFE": "true",
        "REDIS_URL": f"redis://127.0.0.1:{VALKEY_PORT}/0",
        "DATABASE_URL": os.environ.get("TEST_DATABASE_URL", "sqlite:///build/tests.sqlite3"),
        # A machine that is busy with something else is no error.
        "WEBAPP_STATEMENT_SECONDS": "600",
        "WEBAPP_SECRET_KEY": "only-for-tests-only-for-tests-only-for-tests",
        "WEBAPP_STATIC_ROOT": _static.name,
    }
)
