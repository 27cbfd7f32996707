"""Environments of their own for programs that need other versions than ours."""

from __future__ import annotations

import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy.local import isolated


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose one environment needs no package, so that nothing is downloaded."""
    monkeypatch.setattr(isolated, "ROOT", tmp_path)
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "some.txt").write_text("# no package\n")
    return tmp_path


def test_who_asks_at_once_gets_one_environment(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installs: list[Path] = []
    real, at_once = isolated._install, threading.Barrier(4)

    def install(requirements: Path, environment: Path) -> None:
        installs.append(environment)
        real(requirements, environment)

    def ask(_: int) -> Path:
        at_once.wait(30)
        return isolated.binaries("some")

    monkeypatch.setattr(isolated, "_install", install)
    with ThreadPoolExecutor(4) as threads:
        folders = set(threads.map(ask, range(4)))
    assert folders == {root / "build" / "some" / "bin"}
    assert len(installs) == 1
    subprocess.run([folders.pop() / "python", "-c", ""], check=True)


def test_it_is_made_again_when_the_requirements_change(root: Path) -> None:
    old = isolated.binaries("some").with_name("old")
    old.touch()
    isolated.binaries("some")
    assert old.exists()
    (root / "requirements" / "some.txt").write_text("# still no package\n")
    isolated.binaries("some")
    assert not old.exists()


def test_what_can_not_be_installed_says_why(root: Path) -> None:
    (root / "requirements" / "some.txt").write_text("./no-such-package\n")
    with pytest.raises(isolated.NotInstalledError, match=r"no-such-package|hash"):
        isolated.binaries("some")
    assert not (root / "build" / "some" / "installed").exists()
