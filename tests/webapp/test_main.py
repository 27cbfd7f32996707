"""``python -m webapp``: its help and its errors. tests/browser serves with it."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import PATIENCE


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "webapp", *arguments],
        env=os.environ | environ, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip


def test_help_has_examples() -> None:
    outcome = run("--help")
    assert outcome.returncode == 0
    assert "python -m webapp manage migrate" in outcome.stdout


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WEBAPP_PORT", "http"),
        ("WEBAPP_SECRET_KEY", "short"),
        ("WEBAPP_SECRET_KEY", ""),
        ("REDIS_URL", "localhost"),
        ("WEBAPP_GOOGLE_CLIENT_ID", "only.this"),
        ("WEBAPP_GOOGLE_GROUP", "operator"),
    ],
)
def test_a_bad_setting_is_one_line_that_names_it(name: str, value: str) -> None:
    outcome = run("serve", **{name: value})
    assert outcome.returncode == 2
    assert outcome.stderr.startswith(f"webapp: {name}")
    assert outcome.stderr.count("\n") == 1
    assert name != "WEBAPP_SECRET_KEY" or "short'" not in outcome.stderr


def test_serving_without_static_files_says_what_to_do(tmp_path: Path) -> None:
    outcome = run("serve", WEBAPP_STATIC_ROOT=str(tmp_path))
    assert outcome.returncode == 2
    assert "collectstatic" in outcome.stderr


def test_django_finds_nothing_that_a_deployment_should_not_have() -> None:
    command = ("manage", "check", "--deploy", "--fail-level", "WARNING")
    # Only the tests allow the last one.
    environ = {"WEBAPP_SECRET_KEY": secrets.token_hex(32), "DJANGO_ALLOW_ASYNC_UNSAFE": ""}
    outcome = run(*command, **environ, WEBAPP_HTTPS="true")
    assert outcome.returncode == 0, outcome.stderr
    outcome = run(*command, **environ, WEBAPP_HTTPS="false")
    assert outcome.returncode == 1
    assert "security.W012" in outcome.stderr, "the cookie of a session goes without TLS"
