"""Every package that we install has a licence that allows what we do with it. Exceptions are named, with reasons."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions

import pytest

from tests.paths import ROOT

ALLOWED = {
    *("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "CNRI-Python", "MIT", "MIT-0", "MIT-CMU"),
    *("PSF-2.0", "Zlib"),
}
"""By SPDX's names. All let us use, change and pass on, also in closed programs, with their notice."""
OWN_FILES = "MPL-2.0 asks for the source of its own files if they are changed; we change none"
LIBRARY = "LGPL: used as a library that anyone may exchange, and unchanged"
EXCEPTIONS = {
    "certifi": ("MPL-2.0", OWN_FILES),
    "hypothesis": ("MPL-2.0", OWN_FILES),
    "orjson": ("MPL-2.0", OWN_FILES),
    "pathspec": ("MPL-2.0", OWN_FILES),
    "tqdm": ("MPL-2.0", OWN_FILES),
    "psycopg": ("LGPL-3.0-only", LIBRARY),
    "psycopg-binary": ("LGPL-3.0-only", LIBRARY),
    "djlint": ("GPL-3.0-or-later", "a program that developers run; nothing imports it, no image has it"),
}
"""Package → the licence that is not in ALLOWED, and why it may be there."""
UNNAMED = {
    "axe-playwright-python": "MIT",
    "huey": "MIT",
    "namex": "Apache-2.0",
    "skops": "MIT",
}
"""Packages whose metadata lack it: by the file in the package."""
WORDS = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
"""What older metadata say, by SPDX's names. *BSD License* has two or three clauses."""
SAYS_NOTHING = {"OSI Approved", "DFSG approved"}
NOT_HERE = re.compile(r"async-timeout|colorama|pywin32|waitress|nvidia-.*-cu12|tensorflow")
"""Packages of other systems or Python versions, and of machines with GPUs: not installed here, so no test sees their
metadata. Those of NVIDIA have its own licence, which is no free one.
"""


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


INSTALLED = {canonical(found.metadata["Name"]): found for found in distributions()}
PINNED = {
    canonical(name)
    for group in ("dev", "tracking", "trainer", "trainer_gpu", "workers", "webapp", "mlflow_server")
    for name in re.findall(r"^([\w.-]+)(?:\[.*?\])?==", (ROOT / f"requirements/{group}.txt").read_text(), re.MULTILINE)
}


def _one(found: Distribution, field: str) -> str | None:
    return next(iter(found.metadata.get_all(field) or []), None)


def licences(package: str, found: Distribution) -> Iterator[str]:
    """By SPDX's names. Of a choice, all."""
    classifiers = found.metadata.get_all("Classifier") or []
    classified = [line.split(" :: ")[-1] for line in classifiers if line.startswith("License ::")]
    said = [name for name in classified if name not in SAYS_NOTHING]
    text = _one(found, "License-Expression") or UNNAMED.get(package) or " AND ".join(said) or _one(found, "License")
    for name in re.split(r" AND | OR ", text or "none"):
        plain = name.strip() if name.strip() in WORDS else name.strip("() ")
        yield WORDS.get(plain, plain)


@pytest.mark.parametrize("package", sorted(PINNED & INSTALLED.keys()))
def test_a_licence_is_allowed(package: str) -> None:
    others = set(licences(package, INSTALLED[package])) - ALLOWED
    excepted = {EXCEPTIONS[package][0]} if package in EXCEPTIONS else set()
    assert others == excepted


def test_every_package_is_looked_at() -> None:
    assert len(PINNED & INSTALLED.keys()) > 150
    assert [name for name in sorted(PINNED - INSTALLED.keys()) if not NOT_HERE.fullmatch(name)] == []


def test_no_image_has_the_program_of_developers() -> None:
    shipped = [path for path in (ROOT / "requirements").glob("*.txt") if path.stem != "dev"]
    assert shipped
    assert [path.name for path in shipped if re.search("^djlint==", path.read_text(), re.MULTILINE)] == []


def test_what_pages_load_has_its_licence_beside_it() -> None:
    vendor = ROOT / "webapp" / "static" / "vendor"
    assert list(vendor.iterdir())
    assert [found.name for found in vendor.iterdir() if found.is_dir() and not list(found.glob("LICENSE*"))] == []
