"""Run the tests of the store, the workers, the list of runs and visibility again, on PostgreSQL."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.postgres import Postgres

TESTS = [
    "tests/store",
    "tests/workers",
    "tests/webapp/listing",
    "tests/webapp/test_annotations.py",
    "tests/webapp/test_visibility.py",
    f"--ignore={Path(__file__).relative_to(Path.cwd())}",
]


@pytest.mark.integration
def test_the_same_tests_pass_on_postgresql(postgres: Postgres) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS],
        env={**os.environ, "TEST_DATABASE_URL": postgres.url("warmboard")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
